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

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import onnxruntime

from quantseg import graph
from quantseg.data import Dataset, Subset
from quantseg.files import write_json
from quantseg.quantization.pair_check import judge
from quantseg.quantization.plan import QuantSettings
from quantseg.refinement import levels
from quantseg.refinement.options import Options
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, processor_tables, writing
from tests.bench.contestants import THREADS
from tests.bench.processor_tables import FULL, SAFE, Row
from tests.processors import PROCESSORS, Task, packages, ready, run_all
from tests.processors.comparing import Inner, Made, Subject, everywhere, exact_processor, given_equal_inputs
from tests.processors.exposing import Count, exposed

SETTINGS = {SAFE: QuantSettings(), FULL: QuantSettings(full_range_weights=True)}
CALIBRATION, IMAGES = 24, 16
COUNTED = 1
"""Images whose integers are counted, and all that emulated processors see; native kernels draw masks of IMAGES. Full
range is run on native kernels alone: those of AVX2 are emulated bit for bit, and all others add exactly."""
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


def few(data: Dataset, count: int) -> Dataset:
    """So many images of a data set, evenly spread."""
    step = max(1, len(data.names) // count)
    return Subset(data, tuple(range(0, len(data.names), step))[:count])


def quantised(opened: contestants.Subject, images: Dataset, place: Place) -> dict[str, tuple[Path, Subject]]:
    """The model at effort balanced with both kinds of weights; made where they are not kept."""
    found = {}
    calibrating = replace(opened, calibration=few(opened.calibration, CALIBRATION))
    place.keep.mkdir(parents=True, exist_ok=True)
    for weights, settings in SETTINGS.items():
        path = model_path(place, opened.name, weights)
        if place.anew or not path.exists():
            options = Options(settings=settings, effort=levels.BALANCED, threads=THREADS)
            calibrating.quantised(options).save(path)
        model = graph.load(path)
        subject = Subject(opened.name, model, images, opened.model.recipe, (opened.model.input,))
        found[weights] = path, subject
    return found


def model_path(place: Place, name: str, weights: str) -> Path:
    """Where a quantised model is kept."""
    return place.keep / f"{name}.{weights.replace(' ', '-')}.onnx"


def measured(
    name: str, processors: Sequence[str], place: Place, reference: str, failed: dict[str, str]
) -> Iterator[Row]:
    """The rows of one model on these processors. reference: the one with exact sums. failed: takes those that fail."""
    count = IMAGES if PROCESSORS[reference].native else COUNTED
    with contestants.subject(
        name, calibration=CALIBRATION, validation=count, models=place.models, data=place.data
    ) as opened:
        both = quantised(opened, few(opened.validation, count), place)
        subjects = [subject for _, subject in both.values()]
        feeds, output = subjects[0].feeds, [str(opened.model.recipe.output.name)]
        known = run_all(
            reference,
            [Task(opened.path, feeds, output)]
            + [Task(path, feeds, output) for path, _ in both.values()]
            + [Task(exposed(one.model).model, feeds[:COUNTED]) for one in subjects],
            threads=THREADS,
        )
        real, masks, inner = known[0], known[1:3], [Inner.of(*pair) for pair in zip(subjects, known[3:], strict=True)]
        native = [one for one in processors if PROCESSORS[one].native]
        emulated = [one for one in processors if not PROCESSORS[one].native]
        tasks = [one.task(subject) for one, subject in zip(inner, subjects, strict=True)]
        found = everywhere(
            tasks + [Task(path, feeds, output) for path, _ in both.values()], native, workers=1, failed=failed
        )
        seen = Task(both[SAFE][0], feeds[:COUNTED], output)
        found |= everywhere([tasks[0], seen], emulated, workers=2, failed=failed)
        order = list(both)
        assert order[0] == SAFE
        runs = {one: order if PROCESSORS[one].native else [SAFE] for one in processors if one in found}
        counted = {
            (processor, weights): inner[index].counted(found[processor][0][index])
            for processor, which in runs.items()
            for index, weights in enumerate(which)
        }
        unequal = [processor for processor in found if counted[processor, SAFE][0].differ]
        alone = given_equal_inputs(both[SAFE][1], inner[0].known[0], unequal) if unequal else {}
        for processor, weights in counted:
            index = order.index(weights)
            drawn = (real, masks[index], found[processor][0][len(runs[processor]) + index])
            nodes = alone.get(processor) if weights == SAFE else None
            yield _row(subjects[index], weights, processor, drawn, counted[processor, weights], nodes)


def _row(
    subject: Subject,
    weights: str,
    processor: str,
    masks: tuple[Made, Made, Made],
    counts: tuple[Count, Count],
    alone: Count | None,
) -> Row:
    """masks: of the float model, of exact sums, of the processor, judged on as many images as the last has."""
    real, exact, its = masks
    seen = replace(subject, images=Subset(subject.images, tuple(range(len(its)))))
    against_exact = seen.judged(exact, its)
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
        borders=counts[1].differ,
        border_values=counts[1].values,
        alone=None if alone is None else [(node.name, node.op_type, node.differ) for node in alone.nodes],
    )


def unsafe_channels(path: Path) -> tuple[int, int]:
    """Output channels of a written model whose pair sums may saturate, and all that kernels add in pairs."""
    products = [one for one in judge(graph.load(path)) if one.exempt is None and one.unknown is None]
    return sum(len(one.unsafe) for one in products), sum(one.channels for one in products)


def timed(name: str, place: Place) -> dict[str, float]:
    """Medians in ms of float, full range and safe, in turns, in this process's onnxruntime."""
    with contestants.subject(name, calibration=1, validation=1, models=place.models, data=place.data) as opened:
        models = {"float": opened.path} | {weights: model_path(place, name, weights) for weights in (FULL, SAFE)}
        feeds = {opened.model.input.name: opened.validation.load(0).tensor}
        given, turns = dict.fromkeys(models, feeds), Turns(ROUNDS, RUNS)
        timings = benchmark(models, given, runtime=DEFAULT, threads=THREADS, turns=turns)
    return {timing.name: timing.median_ms for timing in timings}


def kernels() -> str:
    """Whose kernels this process's onnxruntime takes: a processor of the bench."""
    site = Path(str(onnxruntime.__file__)).parents[1]
    concealed = [name for name in PROCESSORS if site.name.startswith(name) and site.parent == packages.folder()]
    return concealed[0] if concealed else "here"


def main() -> None:
    """Measures what is not kept, and writes the report."""
    parser = writing.parser(__doc__)
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
        key: known.get(key, {}) for key in ("reference", "absent", "failed", "channels", "latency", "rows")
    }
    if given.time:
        for name in names:
            figures["latency"].setdefault(kernels(), {})[name] = found = timed(name, place)
            print(name, found, flush=True)
            write_json(KEPT, known | figures)
    elif not given.render:
        _measure(names, wanted, place, figures, lambda: write_json(KEPT, known | figures))
    processor_tables.write(figures, IMAGES, COUNTED, NAMES)


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
        failed: dict[str, str] = {}
        rows = list(measured(name, missing, place, reference, failed))
        by: dict[str, dict[str, Any]] = {row.processor: {} for row in rows}
        for row in rows:
            by[row.processor][row.weights] = asdict(row)
        figures["failed"][name] = failed
        figures["rows"][name] = {**have, **by}
        figures["channels"][name] = {weights: unsafe_channels(model_path(place, name, weights)) for weights in SETTINGS}
        keep()
        print(f"{name}: {time.monotonic() - start:.0f} s", flush=True)
        for reason in failed.values():
            print(f"  {reason}", flush=True)
        for row in rows:
            print(f"  {row.weights} {row.processor}: {row.exact:.4f} {row.differ} of {row.values}", flush=True)


if __name__ == "__main__":
    main()
