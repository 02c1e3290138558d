"""Errors that the user can act on: each message names the thing, the fact and the remedy.

A message names a parameter as NAME=VALUE. The command line turns that into its flag, prints the message on one line,
and exits with `exit_code`.
"""

_LONGEST = 800
"""Most characters of a message: names in a stranger's file have any length."""


def shortened(text: str) -> str:
    """`text` of at most _LONGEST characters: what is too long loses its middle, as the remedy stands at the end."""
    if len(text) <= _LONGEST:
        return text
    end = _LONGEST // 3
    return f"{text[: _LONGEST - end - 3]} … {text[-end:]}"


def printable(text: str) -> str:
    """`text` as one line that is only read: what strangers wrote (names in models, files, classes) goes through here.

    Line breaks, escape sequences of terminals, marks that turn the reading direction, invisible characters and broken
    Unicode become Python's escapes: \\n, \\x1b, \\u202e. Other text is unchanged, so a second pass changes nothing.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def text_of(error: Exception) -> str:
    """What another library's error says.

    A text that quotes bytes of a file, and so is not UTF-8, comes from a C library as a UnicodeDecodeError.
    """
    return error.object.decode("utf-8", "replace") if isinstance(error, UnicodeDecodeError) else str(error)


def first_line(error: Exception) -> str:
    """The first line of what another library's error says; its type, where it says nothing."""
    return (text_of(error).strip().splitlines() or [type(error).__name__])[0]


class QuantSegError(Exception):
    """Base class of all errors that the user can fix. Bugs raise ordinary Python exceptions instead."""

    exit_code = 2

    def __str__(self) -> str:
        return shortened(printable(super().__str__()))


class ModelError(QuantSegError):
    """A model that cannot be read, is invalid or of the wrong kind, or has a feature that is not supported."""


class DataError(QuantSegError):
    """An image, mask or array that is missing, unreadable or of the wrong kind."""


class RecipeError(QuantSegError):
    """A recipe or flag whose value is not allowed or contradicts the model."""


class CalibrationError(QuantSegError):
    """Observations that cannot be made, merged or turned into ranges."""


class PlanError(QuantSegError):
    """Settings with which no valid quantised model can be made."""


class OutputError(QuantSegError):
    """A file or folder that cannot be written."""


class PeerError(QuantSegError):
    """Another quantizer cannot do what was asked, failed, or wrote a model that does not load."""


class MissingExtraError(QuantSegError):
    """A feature that needs an optional package which is not installed."""


class BudgetError(QuantSegError):
    """A figure that was asked for, of search or evaluate, is not met. Search writes the best model that it found."""

    exit_code = 3
