"""What pictures an app's model is for: its author's words, or that nobody said; on other pictures masks mislead."""

from quantseg.errors import DataError

UNKNOWN = "Made for pictures like those it was trained on; on others its masks mean nothing."
MOST = 200
"""Characters: it is the first line of a page."""


def checked_about(about: str | None) -> str | None:
    """The author's words, without blanks around them. Raises DataError where they are not one line."""
    words = None if about is None else about.strip()
    if words is not None and (not 0 < len(words) <= MOST or not words.isprintable()):
        raise DataError(f"about: say in one line of 1 to {MOST} characters what pictures the model is for, or nothing")
    return words


def made_for(about: str | None) -> str:
    """The line that the page, README.md and the model card begin with."""
    if about is None:
        return UNKNOWN
    return f"Made for: {about}{'' if about[-1] in '.!?…' else '.'} On other pictures its masks mean nothing."
