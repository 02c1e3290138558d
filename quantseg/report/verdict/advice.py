"""What to do next, as flags and commands, by what is wrong and by how the model was made."""

import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from quantseg.evaluation.judgement import MaskJudgement
from quantseg.evaluation.levels import KEEPS, LOSES, UNKNOWN
from quantseg.report.tables import percent

MOST = 4
"""Most steps that are given."""
_FEW_CALIBRATED = 16
"""With fewer calibration images more are advised."""
_AS_FAST = 0.95
_POOR = 0.25
"""A float model below this mIoU against the labels is poor, or its images are prepared wrongly."""


@dataclass(frozen=True)
class NextStep:
    """A command, or flags for the same command again, and why."""

    command: str
    reason: str

    @property
    def introduction(self) -> str:
        """What stands before the command: flags alone belong to the command that made the model."""
        if self.command.startswith("--"):
            return "quantise again with "
        return "quantise again " if self.command.startswith("without ") else ""

    def __str__(self) -> str:
        return f"{self.introduction}{self.command}: {self.reason}"


@dataclass(frozen=True)
class Made:
    """How an int8 model was made, as far as known.

    float_model, int8_model: the files; the second only where that file can be judged again. effort: of levels.EFFORTS.
    weight: the integer type of weights. per_channel: whether these have a grid for each channel. images: calibrated on.
    clips: the calibrator, where it clips rare values.
    """

    float_model: str = "model.onnx"
    effort: str | None = None
    weight: str | None = None
    per_channel: bool = True
    images: int | None = None
    clips: str | None = None
    int8_model: str | None = None


def is_slower(speed: float | None) -> bool:
    """Whether an int8 model that is `speed` times as fast as float is slower, beyond the noise of a benchmark."""
    return speed is not None and speed < _AS_FAST


def next_steps(judged: MaskJudgement, made: Made, speed: float | None = None) -> tuple[NextStep, ...]:
    """At most MOST steps, the most promising first; none where nothing is wrong and the judgement can be relied on.

    speed: how many times as fast as float; None if it was not measured.
    """
    found = [*_of_input(judged, made)]
    if is_slower(speed):
        found.append(NextStep("--target ort-cpu", "it leaves float what is faster in float, by measurement here"))
    if judged.level not in (KEEPS, UNKNOWN):
        found += [*_of_making(made), *_of_nodes(judged, made)]
    return tuple([*found, *_of_images(judged, made)][:MOST])


def _of_input(judged: MaskJudgement, made: Made) -> Iterator[NextStep]:
    """Where the float model itself gives strange masks, preprocessing is the first suspect."""
    flags = "--channels, --scale, --mean, --std or --recipe"
    if judged.only is not None:
        yield NextStep(flags, "check the preprocessing: it may not be the one that the model was trained with")
    elif judged.float_iou is not None and judged.float_iou < _POOR:
        poor = f"the float model itself reaches only {percent(judged.float_iou)} against the labels"
        yield NextStep(flags, f"{poor}: check the preprocessing and the labels' class ids")


def _of_making(made: Made) -> Iterator[NextStep]:
    """Settings that lose masks, and a higher effort."""
    if made.images is not None and made.images < _FEW_CALIBRATED:
        yield NextStep("--calib DIR", f"it is calibrated on {_images(made.images)}; a few dozen that vary are better")
    if made.effort == "fast":
        yield NextStep("--effort balanced", "this one is made at effort fast, which does nothing to keep the masks")
    if made.weight == "int4":
        best = "; where they must be, --effort best rounds them better" if made.effort != "best" else ""
        yield NextStep("--weight-type int8", f"its weights are int4, which are coarse{best}")
    if not made.per_channel:
        yield NextStep("without --per-tensor", "its weights have one grid for a tensor; one for each channel is finer")
    if made.clips is not None:
        yield NextStep("--calibrator minmax", f"{made.clips} clips rare values, which are often the rare class")
    if made.effort == "balanced":
        yield NextStep("--effort best", "it also learns how to round the weights; this needs torch and takes longer")


def _of_nodes(judged: MaskJudgement, made: Made) -> Iterator[NextStep]:
    model = shlex.quote(made.float_model)
    search = NextStep(
        f"quantseg search {model} --data val/ --max-iou-drop 0.5", "leaves as many nodes float as that budget needs"
    )
    which = NextStep(f"quantseg sensitivity {model} --data val/", "tells which nodes lose the masks, for --exclude")
    yield from (which, search) if judged.level == LOSES else (search, which)


def _of_images(judged: MaskJudgement, made: Made) -> Iterator[NextStep]:
    """A judgement on few images, or on those that were calibrated on, is to be made again on others."""
    if judged.seen or (judged.is_few and judged.level != UNKNOWN):
        if made.int8_model is None:
            command = f"quantseg report {shlex.quote(made.float_model)} --data val/ --calib calib/"
        else:
            command = shlex.join(["quantseg", "report", made.float_model, made.int8_model, "--data", "val/"])
        if judged.seen == judged.images:
            why = "judges on images that were not calibrated on"
        else:
            why = "judges on more images" if judged.is_few else "judges on no image that was calibrated on"
        yield NextStep(command, why)


def _images(count: int) -> str:
    return f"{count} image{'s' if count != 1 else ''}"
