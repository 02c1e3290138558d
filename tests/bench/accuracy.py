"""The same mask: what each step of refinement brings, beside onnxruntime's quantizer and NNCF.

    python -m tests.bench.accuracy [--models a,b] [--steps "fast: min/max,balanced"] [--keep FOLDER]
    python -m tests.bench.accuracy --time FOLDER

Needs the models and images in ../shared, which are not part of this project. What was measured before is kept in
reports/benchmarks/accuracy.json; models and steps that are named are measured anew, none: all; --render: nothing.
--keep: fast and balanced models are kept there, for --time, which measures their speed beside float, on a machine that
does nothing else.
"""

import json
import math
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from quantseg import api
from quantseg.api import stages
from quantseg.data import Subset
from quantseg.evaluation import peer_models
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import open_pair
from quantseg.files import write_json
from quantseg.mixed_precision.risk import ReferenceOutputs
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import rounded_tensors
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT4
from quantseg.refinement import levels
from quantseg.refinement.equalisation import equalise
from quantseg.refinement.levels.starts import Work, looked_at, start_of
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.steps import correct, order_channels
from quantseg.report import tables
from quantseg.runtimes import DEFAULT, RUNTIMES, Runtime
from quantseg.runtimes.latency import Turns, benchmark
from quantseg.runtimes.on_disk import file_bytes
from tests.bench import contestants, writing

CALIBRATION, VALIDATION, LABELLED = 24, 32, 101
"""Images to calibrate on; to judge models of others on; and, with labels, reference models: all of CamVid val."""
ROUNDS, RUNS = 7, 8
ORT, NNCF = "onnxruntime quantizer", "NNCF in OpenVINO"
FAST, RANGES, NARROWED, EQUALISED, COMPENSATED, CORRECTED, BALANCED = (
    "fast: min/max", "ranges searched", "ranges narrowed", "equalised", "+ weights compensated", "+ biases corrected",
    "balanced",
)  # fmt: skip
W4, W4_BEST = "int4: fast", "int4: best"
_SHOWN = {
    ORT: "onnxruntime",
    NNCF: "NNCF",
    FAST: "fast",
    RANGES: "ranges",
    NARROWED: "narrowed",
    COMPENSATED: "+ weights",
    CORRECTED: "+ biases",
}
TIMED = (FAST, BALANCED)
ROWS = (ORT, NNCF, FAST, RANGES, NARROWED, EQUALISED, COMPENSATED, CORRECTED, BALANCED, W4, W4_BEST)
STEPS = tuple(step for step in ROWS if step != RANGES)
"""What can be measured: ranges are searched no more, but the figures of it are kept."""
LEARNS = bool(find_spec("torch"))
BESIDE = bool(find_spec("openvino") and find_spec("nncf"))


@dataclass(frozen=True)
class Row:
    """One quantised model. shares are 0…1; drop: mIoU points lost against labels; seconds: to make it;
    speed: float latency over its own."""

    step: str
    agreement: float | None = None
    changed_pixels: float | None = None
    sqnr_db: float | None = None
    drop: float | None = None
    int8_macs: float | None = None
    size: int | None = None
    seconds: float | None = None
    speed: float | None = None
    failed: str | None = None


def measured(name: str, steps: Collection[str], keep: Path | None) -> list[Row]:
    """The rows of one model, of these steps. keep: the folder to keep fast and balanced models in."""
    labelled = name not in contestants.SHARED
    with (
        contestants.subject(name, calibration=CALIBRATION, validation=LABELLED if labelled else VALIDATION) as subject,
        tempfile.TemporaryDirectory() as folder,
    ):
        calibration = subject.calibration
        if labelled:  # the reference models' parts are opened alike; calibrate on as few as the others
            calibration = Subset(
                calibration,
                tuple(range(0, len(calibration.names), max(1, len(calibration.names) // CALIBRATION)))[:CALIBRATION],
            )
        subject = replace(subject, calibration=calibration)
        return list(_rows(subject, Path(folder), steps, keep))


def _rows(subject: contestants.Subject, folder: Path, steps: Collection[str], keep: Path | None) -> Iterator[Row]:
    model, options = subject.model, contestants.FAST
    context = options.context(subject.calibration)
    if ORT in steps:
        how = options.settings, options.calibrator
        yield _peer(ORT, subject, folder, lambda target: peer_models.peer_model(model, context, *how, target, "qdq"))
    if NNCF in steps and BESIDE:
        openvino = RUNTIMES["openvino"]
        yield _peer(
            NNCF, subject, folder, lambda target: peer_models.nncf_model(model, context, target), runtime=openvino
        )
    for step, make in _steps(subject, steps):
        if step not in steps:
            continue
        began = time.monotonic()
        candidate = make()
        seconds = time.monotonic() - began
        made = stages.fitted(candidate, options)
        target = made.save(folder / "ours.onnx")
        if keep is not None and step in TIMED:
            made.save(keep / f"{subject.path.stem}.{step.split(':')[0]}.onnx")
        row = _judged(step, subject, target)
        yield replace(row, int8_macs=contestants.int8_macs(made, model), seconds=seconds)


def _steps(subject: contestants.Subject, steps: Collection[str]) -> Iterator[tuple[str, Callable[[], Candidate]]]:
    """Every step with what makes it; each builds on those before it, and all have their channels in order."""
    fast = contestants.FAST
    given, context = subject.calibrated(), fast.context(subject.calibration)

    def refined(effort: str, settings: QuantSettings = fast.settings) -> Callable[[], Candidate]:
        return lambda: stages.refined(given, replace(fast, effort=effort, settings=settings))

    yield FAST, refined(levels.FAST)
    plain = Candidate(given.model, given.calibration.table, fast.settings)
    observations = given.calibration.observations

    def narrowed() -> Candidate:
        feeds = [{given.model.input.name: context.data.load(i).tensor} for i in range(len(context.data.names))]
        reference = ReferenceOutputs.of(plain.prepared.model, feeds, given.model.recipe.output, threads=context.threads)
        work = Work(context, context, reference)
        return order_channels(looked_at(start_of(plain, observations, work), work)[0].candidate, context)

    yield NARROWED, narrowed
    needed = {EQUALISED, COMPENSATED, CORRECTED} & set(steps)
    rounded = rounded_tensors(plain.prepared.model, plain.plan)
    equal = equalise(plain.prepared, observations.channels, rounded) if needed else None
    if equal is not None:
        scaled = plain.with_prepared(equal.prepared)
        table = api.calibrate(scaled.model, subject.calibration, options=fast).calibration.table
        ordered = order_channels(replace(scaled, ranges=table), context)
        yield EQUALISED, lambda: ordered
        settled = compensate(ordered, context)
        yield COMPENSATED, lambda: settled
        yield CORRECTED, lambda: correct("analytic", ordered)(settled, context)
    yield BALANCED, refined(levels.BALANCED)
    if subject.labelled and LEARNS:
        few_bits = replace(fast.settings, weight=INT4)
        yield W4, refined(levels.FAST, few_bits)
        yield W4_BEST, refined(levels.BEST, few_bits)


def _peer(
    step: str,
    subject: contestants.Subject,
    folder: Path,
    make: Callable[[Path], peer_models.PeerModel],
    *,
    runtime: Runtime = DEFAULT,
) -> Row:
    target, began = folder / ("peer.onnx" if runtime is DEFAULT else "peer.xml"), time.monotonic()
    made = make(target)
    if made.failed is not None:
        return Row(step, failed=made.failed)
    seconds = time.monotonic() - began
    return replace(_judged(step, subject, target, runtime=runtime), seconds=seconds)


def _judged(step: str, subject: contestants.Subject, target: Path, *, runtime: Runtime = DEFAULT) -> Row:
    with open_pair(subject.path, target, threads=contestants.THREADS, runtime=runtime) as (reference, candidate):
        seen = evaluate(reference, candidate, subject.validation, subject.model.recipe)
    scores = seen.float_scores, seen.int8_scores
    drop = None
    if scores[0] is not None and scores[1] is not None:
        drop = 100 * ((scores[0].mean_iou or 0.0) - (scores[1].mean_iou or 0.0))
    return Row(step, seen.agreement, 1 - seen.pixel_agreement, seen.sqnr_db, drop, size=file_bytes(target))


def timed(name: str, folder: Path) -> dict[str, float]:
    """Step → speed over float of its model in the folder, in turns, one session alive."""
    with contestants.subject(name, calibration=1, validation=1) as subject:
        models = {"float": subject.path}
        models |= {step: folder / f"{subject.path.stem}.{step.split(':')[0]}.onnx" for step in TIMED}
        feeds = {key: {subject.model.input.name: subject.validation.load(0).tensor} for key in models}
        ran = benchmark(models, feeds, runtime=DEFAULT, threads=contestants.THREADS, turns=Turns(ROUNDS, RUNS))
    return {one.name: one.ratio for one in ran if one.name in TIMED}


def main() -> None:
    """Measures what is asked for and writes the report of all that is known."""
    parser = writing.parser(__doc__)
    parser.add_argument("--models", default="", help="names, with commas between")
    parser.add_argument("--steps", default="", help="names, with commas between")
    parser.add_argument("--keep", type=Path, help="a folder for fast and balanced models")
    parser.add_argument("--time", type=Path, help="that folder: measure the speed of what is in it, and nothing else")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the report of what is kept")
    given = parser.parse_args()
    names, steps = ([word for word in words.split(",") if word] for words in (given.models, given.steps))
    wanted = [name for name in contestants.names() if name != contestants.UNET]
    kept = writing.FOLDER / "accuracy.json"
    known: dict[str, list[dict[str, Any]]] = json.loads(kept.read_text())["models"] if kept.exists() else {}
    for name in (names or wanted) if given.time else ():
        speeds = timed(name, given.time)
        known[name] = [row | {"speed": speeds.get(row["step"])} for row in known[name]]
        write_json(kept, {"models": known})
        print(name, speeds, flush=True)
    for name in () if given.render or given.time else names or wanted:
        fresh = {row.step: asdict(row) for row in measured(name, steps or STEPS, given.keep)}
        found = {row["step"]: row for row in known.get(name, [])} | fresh
        known[name] = [found[step] for step in ROWS if step in found]
        write_json(kept, {"models": known})
        print(name, *fresh.values(), sep="\n  ", flush=True)
    _write({name: known[name] for name in wanted if name in known})


def _write(known: Mapping[str, list[dict[str, Any]]]) -> None:
    def table(names: list[str], title: str) -> dict[str, Any]:
        headers = (
            "model",
            "",
            "agrees",
            "SQNR",
            "lost",
            "int8",
            "size",
            "speed",
            "made in",
        )
        return {title: (headers, [_row(name, Row(**row)) for name in names for row in known[name]])}

    others = [name for name in known if name in contestants.SHARED]
    own = [name for name in known if name not in contestants.SHARED]
    steps = dict.fromkeys(row["step"] for rows in known.values() for row in rows)
    means = []
    for step in steps:
        cells: list[str | None] = []
        for names in (others, own):
            rows = [Row(**row) for name in names for row in known[name] if row["step"] == step and not row["failed"]]
            agreements = [row.agreement for row in rows if row.agreement is not None]
            drops = [row.drop for row in rows if row.drop is not None]
            cells += [
                tables.percent(sum(agreements) / len(agreements)) if agreements else None,
                tables.percent(min(agreements)) if agreements else None,
            ]
            if names is own:
                cells += [f"{sum(drops) / len(drops):.2f}" if drops else None, f"{max(drops):.2f}" if drops else None]
        speeds = [row["speed"] for rows in known.values() for row in rows if row["step"] == step and row.get("speed")]
        mean = math.exp(sum(map(math.log, speeds)) / len(speeds)) if speeds else None
        cells += [None, None] if mean is None else [tables.ratio(mean), tables.ratio(min(speeds))]
        means.append((_SHOWN.get(step, step), *cells))
    learned = sum(any(row["step"] == W4_BEST for row in rows) for rows in known.values())
    heads = ("", "others", "worst", "zoo", "worst", "lost", "most", "speed", "slowest")
    page = writing.Page(
        "The same mask: what each step brings",
        f"{CALIBRATION} images to calibrate on; judged on others: {VALIDATION} for models of others (sinet: the ten "
        f"that exist, calibrated on too, which flatters all), up to {LABELLED} for the reference models. agrees: mean "
        "IoU of the int8 with the float masks; lost: points of mIoU against the labels, CamVid val or the model's own "
        "data; int8: share of multiply-accumulates that compute in integers; speed: onnxruntime's float latency over "
        f"its own, portable QDQ, two threads, {ROUNDS} rounds in turns; their geometric mean above. Steps from "
        "`equalised` on stand on each other; `ranges narrowed`, judged by the masks, stands alone, and so does "
        "`ranges searched`, judged by the layers behind a tensor, which this tool no longer has; balanced takes the "
        "channels as they are or equalised and the ranges as calibrated or narrowed, whichever errs less on "
        "calibration images, and leaves the region float that pays most, at most 15 % of the multiply-accumulates. "
        "int4: opset 21 storage, activations 8 bits; best searches wider and learns the rounding. onnxruntime's "
        "quantizer: per channel, min/max, QDQ; NNCF: its preset for the model, in OpenVINO. Not every step was run "
        f"on every model: ranges searched on those of others, int4 on {learned} reference models; NNCF cannot convert "
        "segnet. Seconds are of a machine that did other things beside. fast and balanced are of this version; all "
        "other rows were measured before outputs had a range for each channel and activations a dead zone.",
        {
            "All models": (heads, means),
            **(table(others, "Models that others trained") if others else {}),
            **(table(own, "Reference models") if own else {}),
        },
        (*(("openvino", "nncf") if BESIDE else ()), *(("torch",) if LEARNS else ())),
    )
    writing.write("accuracy", page, {"models": dict(known)})


def _row(name: str, row: Row) -> tables.Row:
    if row.failed is not None:
        return (name.split("_v")[0], _SHOWN.get(row.step, row.step), "failed", *[None] * 6)
    return (
        name.split("_v")[0].removesuffix("_segmentation_adas_0001"),
        _SHOWN.get(row.step, row.step),
        tables.percent(row.agreement),
        tables.decibels(row.sqnr_db),
        None if row.drop is None else f"{row.drop:.2f}",
        None if row.int8_macs is None else tables.percent(row.int8_macs),
        None if row.size is None else tables.megabytes(row.size),
        None if row.speed is None else tables.ratio(row.speed),
        None if row.seconds is None else f"{row.seconds:.0f} s",
    )


if __name__ == "__main__":
    main()
