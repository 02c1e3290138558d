"""Makes one report of a calibrated model, and writes it: what `report` and `demo` share."""

import re
import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.cli import console

if TYPE_CHECKING:
    from quantseg.calibration.file import Calibration
    from quantseg.data import Dataset
    from quantseg.pipeline import CalibrationOptions, FloatModel
    from quantseg.progress import Track
    from quantseg.report import Report


@dataclass(frozen=True)
class Wanted:
    """What every report of one command has in common. peer: whether onnxruntime's quantizer stands beside.

    effort: what is done on the calibration images, where there are any; see quantseg.refinement.levels.
    """

    options: "CalibrationOptions"
    qformat: str
    rounds: int
    pictures: bool
    masks: bool
    output: Path
    peer: bool = False
    effort: str = "fast"


@dataclass(frozen=True)
class Judged:
    """The images that a model is judged on, and what is to be said of them: `data` and `note` as in Report."""

    images: "Dataset"
    data: str | None = None
    note: str | None = None


def make_report(
    name: str,
    model: "FloatModel",
    judged: Judged,
    calibration: "Calibration",
    wanted: Wanted,
    *,
    calibrating: "Dataset | None" = None,
    int8_model: Path | None = None,
    track: "Track" = console.track,
) -> "Report":
    """Makes one report and writes it; the int8 model too, where a place for it is given.

    calibrating: the calibration images, which refinement and onnxruntime's quantizer look at, where they are wanted.
    """
    from quantseg import graph, pipeline
    from quantseg.cli.exactness import say_verdict
    from quantseg.evaluation import tool_comparison as contest
    from quantseg.refinement import levels as effort
    from quantseg.report import PEER, build_report, verdict, write_report

    options = wanted.options
    if calibrating is None:
        refined = effort.reordered(effort.Refined(model, pipeline.ranges_of(calibration, options)), options.settings)
    else:
        refined = effort.refine(model, calibration, calibrating, options, effort=wanted.effort, track=track)
    plan, quantised = pipeline.quantize(refined.model, refined.table, options.settings, qformat=wanted.qformat)
    plan = replace(plan, notes=(*refined.notes, *plan.notes))
    settings = {"calibrator": refined.table.calibrator, "effort": wanted.effort, "format": wanted.qformat}
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        target = int8_model or Path(folder) / f"{name}.int8.onnx"
        graph.save(quantised, target)
        peer = None
        if wanted.peer and calibrating is not None:
            peer = contest.peer_model(
                model,
                calibrating,
                options,
                Path(folder) / f"{name}.onnxruntime.onnx",
                qformat=wanted.qformat,
                track=track,
            )
            settings[f"{PEER}, calibrator"] = contest.peer_calibrator(options)
        result = build_report(
            name,
            model,
            target,
            plan=plan,
            calibration=calibration,
            data=judged.images,
            threads=options.threads or pipeline.default_threads(),
            rounds=wanted.rounds,
            pictures=wanted.pictures,
            settings=settings,
            commands=(command_line(),),
            peer=peer,
            dataset=judged.data,
            note=judged.note,
            track=track,
        )
    console.say(f"{name}: {verdict(result.summary)}")
    if result.sums is not None:
        say_verdict(result.sums, name)
    console.written(*write_report(result, wanted.output / name, pictures=wanted.pictures))
    return result


def command_line() -> str:
    """The command as typed, but paths without folders of this machine, which say nothing to another reader."""
    return shlex.join(["quantseg", *map(_portable, sys.argv[1:])])


def _portable(word: str) -> str:
    """PATH, --flag=PATH or LAYOUT:PATH#SPLIT with the last part of an absolute path; a node's /name as it is."""
    before, path, after = re.fullmatch(r"((?:--[\w-]+=)?(?:\w+:)?)([^#]*)(.*)", word, re.DOTALL).groups()  # type: ignore[union-attr]
    place = Path(path)
    on_disk = place.exists() or (place.parent != Path("/") and place.parent.is_dir())
    return f"{before}{place.name}{after}" if place.is_absolute() and on_disk else word
