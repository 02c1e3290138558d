"""Every model on every processor of the bench: agreement and integers, with weights that cannot saturate and without.

    python -m tests.bench.processors [--models ../shared/models] [--data ../shared/data] [--only unet,wasm,…] [--anew]
    python -m tests.bench.processors --time [--only …]
    python -m tests.bench.processors --render

Needs the models and images in ../shared, which are not part of this project. Rows are kept in
reports/benchmarks/processors.json after each model, and quantised models in --keep; neither is made again but with
--anew. --only: models, processors or both. --time: latencies, safe and full range in turns, on a machine that does
nothing else; with PYTHONPATH=$(python -m tests.processors --site avx2-native) those of AVX2's kernels. --render: the
report of what is kept.
"""

import argparse
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnxruntime

from quantseg import effort, graph, pipeline
from quantseg.data import Dataset
from quantseg.files import write_json
from quantseg.latency import benchmark
from quantseg.planning import QuantSettings
from quantseg.references import Subset
from quantseg.runtimes import RUNTIMES
from tests.bench import contestants, processor_tables, writing
from tests.bench.contestants import THREADS
from tests.bench.processor_tables import FULL, SAFE, Row
from tests.processors import PROCESSORS, Task, packages, ready, run, run_all
from tests.processors.comparing import Made, Subject, everywhere, exact_processor, given_equal_inputs
from tests.processors.exposing import Count, Exposed, differing, exposed
from tests.processors.unsafe import unsafe_channels

SETTINGS = {SAFE: QuantSettings(), FULL: QuantSettings(full_range_weights=True)}
CALIBRATION, IMAGES = 24, 24
EXPOSED = {SAFE: 2, FULL: 1}
"""Images whose integers are counted, and all that emulated processors see; native ones judge IMAGES by their masks."""
ROUNDS, RUNS = 9, 8
KEPT = writing.FOLDER / "processors.json"
ROOT = Path(__file__).parents[2]
NAMES = tuple(name for name in contestants.names() if name != contestants.UNET)


@dataclass(frozen=True)
class Place:
    """Where things lie: models and images of others; the quantised models. anew: whether those are made again."""

    models: Path
    data: Path
    keep: Path
    anew: bool


@dataclass(frozen=True)
class Written:
    """A quantised model and the same with its integers exposed."""

    path: Path
    subject: Subject
    exposed: Exposed


def few(data: Dataset, count: int) -> Dataset:
    """So many images of a data set, evenly spread."""
    step = max(1, len(data.names) // count)
    return Subset(data, tuple(range(0, len(data.names), step))[:count])


def quantised(opened: contestants.Subject, images: Dataset, place: Place) -> dict[str, Written]:
    """The model at effort balanced with both kinds of weights; made where they are not kept."""
    found, calibration = {}, None
    data = few(opened.calibration, CALIBRATION)
    place.keep.mkdir(parents=True, exist_ok=True)
    for weights, settings in SETTINGS.items():
        path = model_path(place, opened.name, weights)
        if place.anew or not path.exists():
            options = pipeline.CalibrationOptions(settings=settings, threads=THREADS)
            calibration = calibration or pipeline.calibrate(opened.model, data, options)
            refined = effort.refine(opened.model, calibration, data, options, effort=effort.BALANCED)
            graph.save(pipeline.quantize(refined.model, refined.table, settings)[1], path)
        model = graph.load(path)
        subject = Subject(opened.name, model, images, opened.model.recipe, (opened.model.input,))
        found[weights] = Written(path, subject, exposed(model))
    return found


def model_path(place: Place, name: str, weights: str) -> Path:
    """Where a quantised model is kept."""
    return place.keep / f"{name}.{weights.replace(' ', '-')}.onnx"


def measured(name: str, processors: Sequence[str], place: Place, reference: str) -> Iterator[Row]:
    """The rows of one model on these processors. reference: the processor with exact sums."""
    count = IMAGES if PROCESSORS[reference].native else max(EXPOSED.values())
    with contestants.subject(
        name, calibration=CALIBRATION, validation=count, models=place.models, data=place.data
    ) as opened:
        images = few(opened.validation, count)
        both = quantised(opened, images, place)
        feeds = both[SAFE].subject.feeds
        real = run(reference, opened.path, feeds, [str(opened.model.recipe.output.name)], threads=THREADS)
        inner = [Task(one.exposed.model, feeds[: EXPOSED[weights]]) for weights, one in both.items()]
        plain = [Task(one.path, feeds) for one in both.values()]
        exact = dict(zip(("inner", "plain"), _halves(run_all(reference, inner + plain, threads=THREADS)), strict=True))
        native = [name for name in processors if PROCESSORS[name].native]
        emulated = [name for name in processors if not PROCESSORS[name].native]
        found = {name: _halves(made) for name, (made, _) in everywhere(inner + plain, native, workers=1).items()}
        found |= {name: (made, made) for name, (made, _) in everywhere(inner, emulated, workers=2).items()}
        for processor in processors:
            for index, (weights, one) in enumerate(both.items()):
                masks = exact["plain" if PROCESSORS[processor].native else "inner"][index]
                its_inner, its_masks = (half[index] for half in found[processor])
                counts = _counted(exact["inner"][index], its_inner, one.exposed)
                yield _row(one.subject, weights, processor, (real, masks, its_masks), counts)


def _halves(made: Sequence[Made]) -> tuple[Sequence[Made], Sequence[Made]]:
    return made[: len(SETTINGS)], made[len(SETTINGS) :]


def _counted(mine: Made, its: Made, made: Exposed) -> tuple[Count, Count]:
    exact, behind = Count(), Count()
    for one, other in zip(mine, its, strict=True):
        counts = differing(one, other, made)
        exact, behind = exact + counts[0], behind + counts[1]
    return exact, behind


def _row(
    subject: Subject, weights: str, processor: str, masks: tuple[Made, Made, Made], counts: tuple[Count, Count]
) -> Row:
    """masks: of the float model, of exact sums, of the processor, on as many images as the last has."""
    real, exact, its = masks
    seen = replace(subject, images=Subset(subject.images, tuple(range(len(its)))))
    against_exact = seen.judged(exact, its)
    alone: list[tuple[str, str, int]] | None = None
    if weights == SAFE and counts[0].differ:
        first = replace(subject, images=Subset(subject.images, (0,)))
        nodes = given_equal_inputs(first, [processor])[processor].nodes
        alone = [(node.name, node.op_type, node.differ) for node in nodes]
    return Row(
        model=subject.name,
        weights=weights,
        processor=processor,
        images=len(its),
        exact=against_exact.agreement,
        pixels=against_exact.pixel_agreement,
        real=seen.judged(real, its).agreement,
        exact_real=seen.judged(real, exact).agreement,
        differ=counts[0].differ,
        values=counts[0].values,
        behind=counts[1].differ,
        behind_values=counts[1].values,
        alone=alone,
    )


def timed(name: str, place: Place) -> dict[str, float]:
    """Medians in ms of float, full range and safe, in turns, in this process's onnxruntime."""
    with contestants.subject(name, calibration=1, validation=1, models=place.models, data=place.data) as opened:
        models = {"float": opened.path} | {weights: model_path(place, name, weights) for weights in (FULL, SAFE)}
        feeds = {opened.model.input.name: opened.validation.load(0).tensor}
        timings = benchmark(
            models, runtime=RUNTIMES["onnxruntime"], threads=THREADS, feeds=dict.fromkeys(models, feeds),
            rounds=ROUNDS, runs=RUNS,
        )  # fmt: skip
    return {timing.name: timing.median_ms for timing in timings}


def kernels() -> str:
    """Whose kernels this process's onnxruntime takes: a processor of the bench."""
    site = Path(str(onnxruntime.__file__)).parents[1]
    concealed = [name for name in PROCESSORS if site.name.startswith(name) and site.parent == packages.folder()]
    return concealed[0] if concealed else "here"


def main() -> None:
    """Measures what is not kept, and writes the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=Path, default=writing.SHARED / "models")
    parser.add_argument("--data", type=Path, default=writing.SHARED / "data")
    parser.add_argument("--keep", type=Path, default=ROOT / ".work" / "processors", help="folder of quantised models")
    parser.add_argument("--only", default="", help="models, processors or both, with commas")
    parser.add_argument("--anew", action="store_true", help="make and measure again what is kept")
    parser.add_argument("--time", action="store_true", help="measure latencies alone")
    parser.add_argument("--render", action="store_true", help="measure nothing")
    given = parser.parse_args()
    asked = [word for word in given.only.split(",") if word]
    unknown = [word for word in asked if word not in (*NAMES, *PROCESSORS)]
    if unknown:
        parser.error(f"{unknown[0]!r} is neither a model nor a processor: {', '.join((*NAMES, *PROCESSORS))}")
    names = [name for name in NAMES if name in asked] or list(NAMES)
    wanted = [name for name in PROCESSORS if name in asked] or list(PROCESSORS)
    place = Place(given.models, given.data, given.keep, given.anew)
    known: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    figures: dict[str, Any] = {
        key: known.get(key, {}) for key in ("reference", "absent", "channels", "latency", "rows")
    }
    if given.time:
        for name in names:
            figures["latency"].setdefault(kernels(), {})[name] = found = timed(name, place)
            print(name, found, flush=True)
            write_json(KEPT, known | figures)
    elif not given.render:
        _measure(names, wanted, place, figures, lambda: write_json(KEPT, known | figures))
    processor_tables.write(figures, IMAGES, EXPOSED, NAMES)


def _measure(names: Sequence[str], wanted: Sequence[str], place: Place, figures: dict[str, Any], keep: Any) -> None:
    figures["absent"] = {name: reason for name in wanted if (reason := ready(name)) is not None}
    for reason in figures["absent"].values():
        print(f"skipped: {reason}", flush=True)
    figures["reference"] = reference = exact_processor()
    for name in names:
        have: Mapping[str, Any] = {} if place.anew else figures["rows"].get(name, {})
        missing = [one for one in wanted if one not in figures["absent"] and one not in have]
        if not missing:
            continue
        start = time.monotonic()
        rows = list(measured(name, missing, place, reference))
        by = {one: {row.weights: asdict(row) for row in rows if row.processor == one} for one in missing}
        figures["rows"][name] = {**have, **by}
        figures["channels"][name] = {
            weights: unsafe_channels(graph.load(model_path(place, name, weights))) for weights in SETTINGS
        }
        keep()
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        for row in rows:
            print(f"  {row.weights} {row.processor}: {row.exact:.4f} {row.differ} of {row.values}", flush=True)


if __name__ == "__main__":
    main()
