"""What --data and --calib mean: in every command that judges, --data is judged and --calib is calibrated on.

`calibrate` and `quantize` only calibrate, so there the two mean the same. Words of older versions work with a warning.
"""

from pathlib import Path

from quantseg.cli import console
from quantseg.errors import DataError

MEASURED, EXPLAINED = 16, 4
"""Images that `sensitivity` measures on without --limit, as it is and with --explain: each of them runs through the
model once for every node, or for every tensor and weight."""


def calibrating(data: Path | None, calib: Path | None) -> Path | None:
    """The images of a command that only calibrates. Raises DataError where both words were given."""
    if data is not None and calib is not None:
        raise DataError("--data and --calib mean the same here, the images to calibrate on; give one of them")
    return data if calib is None else calib


def judging(data: Path, calib: Path | None, old: Path | None) -> tuple[Path, Path]:
    """The images to judge on and those to calibrate on, from --data, --calib and the --val of older versions.

    --val was what is judged, and --data then what is calibrated on. Raises DataError where --val stands beside --calib.
    """
    if old is None:
        return data, calib or data
    if calib is not None:
        raise DataError("--val is the old word for what is judged; give that as --data, and leave --val out")
    console.complain(f"warning: --val is old: what is judged is now --data {old}, what is calibrated on --calib {data}")
    return old, data


def limits(limit: int | None, calib_limit: int | None, old: int | None, *, most: int) -> tuple[int, int | None]:
    """How many images are measured on, and how many are calibrated on (None: all), for `sensitivity`.

    most: how many are measured on where no flag says. old: --images of older versions, how many are measured on;
    --limit was then how many are calibrated on. Raises DataError where --images stands beside --calib-limit.
    """
    if old is None:
        return limit or most, calib_limit or limit
    if calib_limit is not None:
        raise DataError("--images is the old word for --limit; give that, and leave --images out")
    also = "" if limit is None else f" --calib-limit {limit}"
    console.complain(f"warning: --images is old: give --limit {old}{also}")
    return old, limit
