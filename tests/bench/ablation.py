"""What each trick of `--target ort-cpu` brings: latency without it over latency with all of them.

    python -m tests.bench.ablation [MODEL ...]

Needs the models and images in ../shared, which are not part of this project.
"""

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import numpy as np

from quantseg import api
from quantseg.api import stages
from quantseg.calibration.calibrate import Calibrated
from quantseg.files import caches
from quantseg.graph.passes import LOWERINGS, conv_transpose
from quantseg.graph.passes.outcome import RewriteOutcome
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.target_facts import ORT_CPU
from quantseg.mixed_precision.targets import TargetOptions, input_shapes
from quantseg.quantization.formats import convolution, editor
from quantseg.quantization.plan import grids
from quantseg.quantization.writing import written
from quantseg.report import tables
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, THREADS, UNET, Subject

MODELS = (UNET, "linknet", "fpn", "mobile", "deeplab_v3_mbv2_voc", "sinet_portrait", "road_segmentation_adas_0001")
ROUNDS, RUNS, IMAGES = 7, 8, 8
BENCH = costs.Bench(DEFAULT, THREADS, caches.folder())
ALL = "everything"
WITHOUT = {
    "channels last": "written as QOperator, in the model's own layout",
    "whole registers": "no unused places: channels as many as the model has",
    "whole pixels": "ConvTranspose's phases beside each other, channel by channel (CRD)",
    "free shuffles": "a channel shuffle as Reshape, Transpose, Reshape",
    "dense groups": "small groups and pointwise depthwise convolutions as they are",
    "one rounding": "every input of a Concat on a grid of its own",
    "AMX by zero-point": "every convolution by the convolution kernel",
    "float islands": "integers wherever the rules have them (the same where no island won the last heat)",
}


@contextmanager
def without(trick: str) -> Iterator[None]:
    """The library without one trick."""
    patches = {
        "whole registers": [
            patch.object(convolution, "GIVEN_BY", 1),
            patch.object(convolution, "READ_BY", 1),
            patch.object(editor, "IMAGE_CHANNELS", -1),
        ],
        "whole pixels": [
            patch.object(conv_transpose._Form, "phases_first", new_callable=PropertyMock, return_value=False)
        ],
        "free shuffles": [patch.dict(LOWERINGS, recognise_channel_shuffles=lambda _: RewriteOutcome())],
        "dense groups": [
            patch.object(convolution, "DENSE_CHANNELS", 0),
            patch.object(convolution, "DENSE_POINTWISE", 0),
        ],
        "one rounding": [patch.object(grids, "_serves_only", lambda *_: False)],
    }
    with ExitStack() as stack:
        for one in patches.get(trick, []):
            stack.enter_context(one)
        yield


def made(subject: Subject, given: Calibrated, trick: str, target: Path, *, islands: bool) -> None:
    """Writes the subject's model without the trick. islands: whether the whole model is faster with float islands."""
    with without(trick):
        model = api.load(subject.path, subject.source)
        candidate = stages.refined(replace(given, model=model), FAST)
        found = costs.fit(candidate, input_shapes(model), BENCH)
        placed = found.by_parts if islands and trick != "float islands" else found.by_rule
        removed = {"AMX by zero-point": convolution.SHIFTED, "dense groups": convolution.DENSE}.get(trick)
        ways = {node: way for node, way in placed.overrides.variants.items() if way != removed}
        fit = replace(found.fit, qformat="qoperator") if trick == "channels last" else found.fit
        written(replace(placed, overrides=replace(placed.overrides, variants=ways, fit=fit))).save(target)


def measured(subject: Subject, folder: Path) -> dict[str, Any]:
    """Latencies in turns of the model with everything, without each trick, and in float."""
    given = subject.calibrated()
    best = subject.quantised(replace(FAST, target=TargetOptions(ORT_CPU)), given).fit
    models = {"float": subject.path}
    for number, trick in enumerate((ALL, *WITHOUT)):
        models[trick] = folder / f"{number}.onnx"
        made(subject, given, trick, models[trick], islands=best is not None and best.by_parts)
    feeds = {subject.model.input.name: subject.validation.load(0).tensor}
    turns = Turns(ROUNDS, RUNS)
    timings = benchmark(models, dict.fromkeys(models, feeds), runtime=DEFAULT, threads=THREADS, turns=turns)
    return {timing.name: asdict(timing) for timing in timings}


def main() -> None:
    """Measures and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    results: dict[str, dict[str, Any]] = {}
    for name in parser.parse_args().models or MODELS:
        with (
            contestants.subject(name, calibration=IMAGES, validation=1) as one,
            tempfile.TemporaryDirectory() as folder,
        ):
            results[name] = measured(one, Path(folder))
        print(name, {k: round(t["median_ms"], 2) for k, t in results[name].items()}, flush=True)

    def slower(found: dict[str, Any], trick: str) -> float:
        return float(found[trick]["median_ms"] / found[ALL]["median_ms"])

    def mean(trick: str) -> float:
        return float(np.exp(np.mean([np.log(slower(found, trick)) for found in results.values()])))

    short = {name: name.split("_")[0] for name in results}
    rows = [(trick, *(tables.ratio(slower(found, trick)) for found in results.values()), tables.ratio(mean(trick)))
            for trick in (*WITHOUT, "float")]  # fmt: skip
    page = writing.Page(
        "What each trick of --target ort-cpu brings",
        "Median latency without the trick over that with all of them (above 1: it pays), geometric mean last; the last "
        f"row is the float model. Effort fast. {ROUNDS} alternating rounds of {RUNS} runs, one session alive, "
        f"{THREADS} threads; differences within 2 % are noise.\n\n"
        + "\n".join(f"- without *{trick}*: {meaning}" for trick, meaning in WITHOUT.items()),
        {"Latency without it": (("without", *short.values(), "mean"), rows)},
    )
    writing.write("ablation", page, {"models": results})


if __name__ == "__main__":
    main()
