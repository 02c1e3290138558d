"""Prints a verdict on the masks, and judges what `quantize` made on a few of its calibration images."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantseg.cli import console

if TYPE_CHECKING:
    from quantseg.calibration.calibrate import Calibrated
    from quantseg.quantization.writing import QuantizedModel
    from quantseg.refinement.options import Options
    from quantseg.report.verdict import Verdict

_COLOURS = {"keeps": "green", "loses some": "yellow", "loses": "red"}


def say(verdict: "Verdict", name: str = "") -> None:
    """Prints title and sentence, then facts, caveats and next steps, a line each; in colour on a terminal.

    name: of the model, if the command has several.
    """
    head = f"{verdict.symbol} {verdict.title}{f': {name}' if name else ''}"
    console.coloured(head, _COLOURS.get(verdict.level))
    console.line(f"  {verdict.sentence}")
    for level, fact in verdict.facts:
        console.coloured(f"  {fact}", None if level == "keeps" else _COLOURS.get(level))
    for caveat in verdict.caveats:
        console.line(f"  {caveat}")
    for step in verdict.steps:
        console.line(f"  next: {step.introduction}{step.command}  # {step.reason}")
    console.say()


def judged(
    given: "Calibrated", made: "QuantizedModel", data: Path | None, options: "Options", paths: tuple[Path, Path]
) -> dict[str, Any]:
    """Judges a quantised model on a few of its calibration images, prints the verdict, and gives it as JSON values.

    data: the calibration images; None where a file was given. paths: of the float and the quantised model. A model that
    cannot be judged is not refused: the verdict says why.
    """
    from dataclasses import replace

    from quantseg.api import stages
    from quantseg.errors import QuantSegError
    from quantseg.evaluation.judgement import judge
    from quantseg.report.reporting import made_of
    from quantseg.report.verdict import unjudged, worded

    model, target = (path.name if path.is_absolute() else str(path) for path in paths)
    other = shlex.join(["quantseg", "report", model, target, "--data", "val/"])
    evaluation, count = None, len(given.calibration.observations.images)
    if data is None:
        verdict = unjudged("The masks were not judged: a calibration file has no images.", other, "judges them")
    else:
        try:
            evaluation = stages.judged_briefly(given.model, made, data, options)
        except QuantSegError as error:
            verdict = unjudged(f"The masks could not be judged: {error}", other, "judges them on other images")
    if evaluation is None:
        say(verdict)
        return {"level": verdict.level} | verdict.to_json()
    effort = options.effort_for(images=True)
    judgement = judge(evaluation, seen=evaluation.images)
    how = replace(made_of(made, model, effort, count), int8_model=target)
    verdict = worded(judgement, how)
    say(verdict)
    return judgement.to_json() | verdict.to_json()
