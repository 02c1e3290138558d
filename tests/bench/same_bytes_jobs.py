"""What tests.bench.same_bytes makes: words of the command line, and the files that they write."""

from collections.abc import Iterator
from dataclasses import dataclass

IMAGES = 4
CELLS = ("cells_unet", "wbc_unet")
"""Models of cells; their images are drawn by quantseg itself. All others are shown streets."""
FORMATS = ("qdq", "qoperator", "channels-last")
BALANCED = ("mobile", "segnet", "fcn8s", "cells_unet", "wbc_unet")
"""Between them: PReLU and hard-swish, unpooling, nodes that stay float, Concat."""
QUICK_BALANCED = "wbc_unet"
REPORTS = (
    "cells_unet --effort fast --peer",
    "mobile --effort fast",
    "segnet --effort fast",
    "deeplabv3plus --effort fast",
)
BALANCED_REPORT = "wbc_unet --effort balanced --no-masks"
FOLDED = (
    "cells_unet",
    "mobile --format channels-last",
    "segnet --format qoperator",
)
OPTIONS = (
    "cells_unet --activation-type int8",
    "cells_unet --calibrator mse",
    "cells_unet --mean 0.5 --std 0.25",
    "deeplabv3plus --calibrator percentile --percentile 99.9",
    "mobile --target openvino",
    "pspnet --weight-type uint8 --format qoperator",
    "unet --target ort-cpu --int8-everywhere --no-timing",
    "wbc_unet --weight-type int4",
    "wbc_unet --calibrator entropy --limit 2",
    "wbc_unet --per-tensor --symmetric",
    "wbc_unet --reduce-range",
    "wbc_unet --full-range-weights",
    "wbc_unet --exclude Concat",
    "wbc_unet --include Conv",
)


@dataclass(frozen=True)
class Job:
    """Command lines of quantseg that run in one empty folder, and the files to compare.

    In the words {model} stands for the weights, {data} for the images of the model.
    """

    kind: str
    model: str
    commands: tuple[str, ...]
    files: tuple[str, ...] = ("int8.onnx",)

    @property
    def name(self) -> str:
        """The model and the options that set this job apart."""
        last = self.commands[-1].split()
        dull = {last[0], "{model}", "--data", "{data}", "-o", ".", *self.files, "--json"}
        return " ".join([self.model, *(word for word in last if word not in dull)])


def jobs(models: tuple[str, ...], *, quick: bool) -> Iterator[Job]:
    """All of them, those that take longest first; quick: one format at effort fast, and one model at balanced."""
    for model in (QUICK_BALANCED,) if quick else BALANCED:
        yield _quantize("balanced", f"{model} --effort balanced")
    if not quick:
        yield _report("report, balanced", BALANCED_REPORT)
        yield from (_report("report", words) for words in REPORTS)
        yield _search("wbc_unet --effort fast --evaluations 5")
        yield from _others()
    for qformat in FORMATS[:1] if quick else FORMATS:
        for model in models:
            yield _quantize(qformat, f"{model} --effort fast --format {qformat}")


def _others() -> Iterator[Job]:
    for words in FOLDED:
        yield _quantize("folded", f"{words} --effort fast --fold-preprocess --fold-argmax")
    for words in OPTIONS:
        yield _quantize("options", f"{words} --effort fast")
    calibrated = "calibrate {model} --data {data} --calibrator percentile -o ranges.json"
    made = "quantize {model} --calibration ranges.json --effort fast -o int8.onnx"
    yield Job("calibration file", "fpn", (calibrated, made))


def _quantize(kind: str, words: str) -> Job:
    model, _, options = words.partition(" ")
    return Job(kind, model, (f"quantize {{model}} --data {{data}} {options} -o int8.onnx",))


def _report(kind: str, words: str) -> Job:
    model, _, options = words.partition(" ")
    command = f"report {{model}} --data {{data}} {options} --rounds 1 --no-pictures -o . --json report.json"
    return Job(kind, model, (command,), ("report.json",))


def _search(words: str) -> Job:
    model, _, options = words.partition(" ")
    command = f"search {{model}} --data {{data}} {options} -o int8.onnx --json search.json"
    return Job("search", model, (command,), ("int8.onnx", "search.json"))
