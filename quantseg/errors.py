"""What can go wrong, in words a user can act on: each message names the thing, the fact and the remedy.

A message names a parameter as NAME=VALUE. The command line turns that into its flag, prints the message as one line,
and exits with `exit_code`.
"""


class QuantSegError(Exception):
    """Any problem that the user can mend. Bugs raise ordinary Python exceptions instead."""

    exit_code = 2


class ModelError(QuantSegError):
    """A model file that cannot be read, is not what it should be, or asks for too much."""


class DataError(QuantSegError):
    """An image, mask or array that is missing, unreadable or of the wrong kind."""


class RecipeError(QuantSegError):
    """A recipe or flag whose value does not exist or contradicts the model."""


class CalibrationError(QuantSegError):
    """Observations that cannot be made, merged or turned into ranges."""


class PlanError(QuantSegError):
    """Settings under which no valid quantised model exists."""


class OutputError(QuantSegError):
    """A file or folder that cannot be written."""


class PeerError(QuantSegError):
    """Another quantizer cannot do what was asked, failed, or wrote a model that does not load."""


class MissingExtraError(QuantSegError):
    """Something that was asked for needs an optional package that is not installed."""


class BudgetError(QuantSegError):
    """A budget that no model which was tried holds. What was found is written all the same."""

    exit_code = 3
