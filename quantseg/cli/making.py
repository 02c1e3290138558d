"""Makes the report on one calibrated model, writes it and prints its verdict: shared by `report` and `demo`."""

import re
import shlex
import sys
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.cli import console, judgement, stages

if TYPE_CHECKING:
    from quantseg.calibration.calibrate import Calibrated
    from quantseg.cli.outputs import Outputs
    from quantseg.refinement.options import Options
    from quantseg.report import Report, Reporting


def make_report(
    place: Path,
    given: "Calibrated",
    options: "Options",
    images: object,
    how: "Reporting",
    outputs: "Outputs",
) -> "Report":
    """Quantises and reports on these images; writes the report to the folder `place`, whose name is the report's."""
    from quantseg import api

    told = replace(how, name=place.name, commands=(command_line(),))
    return show_report(
        api.report(given.model, images, calib=given, options=options, **vars(told)), place, told, outputs
    )


def show_report(result: "Report", place: Path, how: "Reporting", outputs: "Outputs") -> "Report":
    """Prints the report's verdict and writes the report to the folder `place`, whose name is the report's."""
    from quantseg.cli.exactness import say_verdict
    from quantseg.progress import under_way
    from quantseg.report import verdict, write_report

    name = place.name
    judgement.say(result.verdict, name)
    console.line(f"{name}: {verdict(result.summary)}")
    if result.sums is not None:
        say_verdict(result.sums, name)
    with under_way(console.track, stages.MEASURE[-1]):
        written = write_report(result, place, images=how.images, origin=outputs.origin)
    console.written(*written)
    return result


def check_report(place: Path, outputs: "Outputs") -> None:
    """Raises OutputError where the report cannot be written to the folder `place`, or another one lies there."""
    from quantseg.report import report_places

    outputs.check(*report_places(place))


def check_index(folder: Path, outputs: "Outputs", made: Collection[str]) -> None:
    """Raises OutputError where the index of reports cannot be written to `folder`, or files of others lie there.

    made: the names of the reports that the command writes. Raises DataError where another one there cannot be read.
    """
    from quantseg.files import check_writable
    from quantseg.report import INDEX, index_places, is_index_json, summaries_in

    summaries_in(folder, without=made)
    for target in index_places(folder):
        check_writable(target)
        if target.suffix != ".json" or not is_index_json(target):
            outputs.check_owner(target, INDEX)


def command_line() -> str:
    """The command as typed, with absolute paths shortened to their last part."""
    return shlex.join(["quantseg", *map(_portable, sys.argv[1:])])


def _portable(word: str) -> str:
    """PATH, --flag=PATH or LAYOUT:PATH#SPLIT with an absolute path shortened; a node's /name stays as it is."""
    before, path, after = re.fullmatch(r"((?:--[\w-]+=)?(?:\w+:)?)([^#]*)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    place = Path(path)
    on_disk = place.exists() or (place.parent != Path("/") and place.parent.is_dir())
    return f"{before}{place.name}{after}" if place.is_absolute() and on_disk else word
