"""quantseg quantize --dry-run: what would stay float, size and speed, and what would take how long."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantseg.cli import console, plans
from quantseg.cli.flags import as_flags

if TYPE_CHECKING:
    from quantseg.api.dry_run import DryRun
    from quantseg.calibration.calibrate import Calibrated
    from quantseg.quantization.float_model import FloatModel
    from quantseg.refinement.options import Options


def dry_run(
    given: "FloatModel | Calibrated", data: Path | None, options: "Options", before: int, *, verbose: bool
) -> dict[str, Any]:
    """Prints a dry run and returns it as JSON values.

    given: the float model, or with a calibration file that. before: bytes of the float model's file.
    """
    from quantseg.api import dry_run as trying
    from quantseg.calibration.calibrate import Calibrated

    if isinstance(given, Calibrated):
        tried = trying.from_file(given, options)
    else:
        tried = trying.from_images(given, data, options)
    looked_at = "" if tried.images is None else f" on {tried.images[0]} of {tried.images[1]} images"
    console.say(f"a dry run{looked_at}: nothing is refined and nothing is written\n")
    plans.show(tried.made, verbose)
    for line in _figures(tried, options, before):
        console.line(line)
    _say_times(tried)
    if tried.left_out:
        console.line(f"note: {as_flags(tried.left_out)}")
    return tried.made.to_json() | {"dry_run": tried.to_json()}


def _figures(tried: "DryRun", options: "Options", before: int) -> tuple[str, str]:
    from quantseg.report import tables

    after, (in_float, in_integers) = tried.int8_bytes, tried.seconds
    threads = options.context().threads
    size = f"{tables.megabytes(before)} → {tables.megabytes(after)}, {before / after:.1f} times smaller"
    times = f"float {tables.milliseconds(1e3 * in_float)}, int8 {tables.milliseconds(1e3 * in_integers)}"
    told = "; refinement may leave more nodes float" if tried.stages.keys() - {"calibrate"} else ""
    return size, f"{times}: {tables.ratio(in_float / in_integers)} ({threads} thread{'s' * (threads > 1)}){told}"


def _say_times(tried: "DryRun") -> None:
    """Prints how long each stage would take, if there are several."""
    from quantseg.report import tables

    if not tried.stages:
        return
    total = sum(tried.stages.values())
    rows = [(name, duration(seconds)) for name, seconds in tried.stages.items() if seconds]
    console.say("\n" + tables.terminal(("stage", "takes about"), [*rows, ("all", duration(total))]))
    console.say("by the float model's time on this machine just now")


def duration(seconds: float) -> str:
    """Seconds or minutes, rounded as an estimate is."""
    return f"{seconds / 60:.0f} min" if seconds >= 90 else f"{max(1.0, seconds):.0f} s"
