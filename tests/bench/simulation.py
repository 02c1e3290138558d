"""The integer simulator: onnx's node tests, onnxruntime bit for bit, speed, accumulators, ways to round, processors.

    python -m tests.bench.simulation [--only node_tests,exact,speed,sums,roundings,processors]

Needs the models and images in ../shared, which are not part of this project. Speed wants a quiet machine.
"""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from quantseg import api, graph
from quantseg.calibration.calibrate import Calibrated
from quantseg.data import Subset
from quantseg.errors import ModelError, PeerError
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.peers import PeerSettings, quantize_with_onnxruntime
from quantseg.evaluation.predictions import open_pair
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.rounding.requantisation import CHANNELS_LAST, ROUNDINGS
from quantseg.refinement import levels
from quantseg.refinement.options import Options
from quantseg.report import tables
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.latency import timed_runs
from quantseg.simulation import running
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor
from quantseg.simulation.examining import Wanted, examine
from quantseg.simulation.others import InRuntime, Simulated
from quantseg.simulation.program import Program, program
from quantseg.simulation.proof import read_channels
from quantseg.simulation.saturation.machine import this_processor
from tests.bench import contestants, writing
from tests.bench.contestants import FAST, THREADS, UNET, Subject
from tests.support import node_tests
from tests.support.models import unet

NAMED = (UNET, "unet", "linknet", "segnet", "deeplabv3plus", "ppocr_mobile_v2_det")
"""The models that have to be exact in QDQ and QOperator."""
FORMATS = ("qdq", "qoperator", "channels-last")
SATURATING = (
    ("cells_unet", "qdq"), ("mobile", "qdq"), ("unet", "qdq"), ("linknet", "qdq"), ("deeplabv3plus", "qdq"),
    ("segnet", "qoperator"), ("cells_unet", "channels-last"), ("unet", "onnxruntime's, qdq"),
)  # fmt: skip
"""Models with weights of the full range, whose pair sums saturate by the million, and what makes them."""
FULL_RANGE = QuantSettings(full_range_weights=True)
"""8 bits, whatever a pair of weights adds up to."""
CALIBRATION, IMAGES, SATURATING_IMAGES = 24, 4, 12
ROUNDS, RUNS = 5, 3


def node_test_rows() -> list[dict[str, Any]]:
    """For each operator: how many of the package's tests passed, failed, are out of scope, and why."""
    verdicts = [node_tests.verdict(case) for case in node_tests.cases()]
    return [
        {
            "operator": operator,
            **Counter(v.outcome for v in verdicts if v.operator == operator),
            "reasons": sorted({v.reason for v in verdicts if v.operator == operator and v.reason}),
        }
        for operator in node_tests.OPERATORS
    ]


@contextmanager
def subject_of(name: str, images: int = IMAGES) -> Iterator[Subject]:
    """A model with its images, and just some of them to judge on."""
    with contestants.subject(name, calibration=CALIBRATION, validation=images) as subject:
        few = tuple(range(min(images, len(subject.validation.names))))
        yield replace(subject, validation=Subset(subject.validation, few))


def written(subject: Subject, qformat: str, folder: Path, *, effort: str = levels.FAST) -> Path:
    """The subject's int8 model at an effort, in a format."""
    options = Options(effort=effort, qformat=qformat, threads=THREADS)
    return subject.quantised(options).save(folder / f"{subject.name}.{effort}.{qformat}.onnx")


def peer(subject: Subject, qformat: str, folder: Path) -> Path:
    """What onnxruntime's quantizer writes."""
    target = folder / f"{subject.name}.peer.{qformat}.onnx"
    tensors = [{subject.model.input.name: subject.calibration.load(i).tensor} for i in range(4)]
    quantize_with_onnxruntime(subject.path, target, tensors, PeerSettings(qformat=qformat))
    return target


def compared(subject: Subject, made: Path, rounding: str = "onnxruntime") -> dict[str, Any]:
    """One model in the simulator beside onnxruntime."""
    model = graph.load(made)
    steps = program(model, what=made.name)
    with closing(InRuntime(model, steps, DEFAULT, threads=THREADS)) as other:
        wanted = Wanted(rounding, proof=False, other=other, processor=this_processor(DEFAULT))
        found = examine(steps, subject.validation, subject.model.input.name, wanted).judgement
    return {"model": subject.name, "rounding": rounding, "images": len(subject.validation.names)} | found.to_json()


def exact_rows(only_named: bool) -> Iterator[dict[str, Any]]:
    """Every model in every format; those of onnxruntime's quantizer; balanced ones."""
    for name in NAMED if only_named else contestants.names():
        with subject_of(name) as subject, _folder() as folder:
            for qformat in FORMATS:
                yield compared(subject, written(subject, qformat, folder)) | {"made by": f"fast, {qformat}"}
            if name in NAMED and name != UNET:
                made = written(subject, "qdq", folder, effort=levels.BALANCED)
                yield compared(subject, made) | {"made by": "balanced, qdq"}
            for qformat in FORMATS[:2]:
                label = {"made by": f"onnxruntime's, {qformat}"}
                try:
                    made = peer(subject, qformat, folder)
                    found = compared(subject, made)
                    if not found["exact"]:
                        found = compared(subject, made, CHANNELS_LAST)
                    yield found | label
                except (ModelError, PeerError) as error:
                    yield {"model": name, "failed": str(error)} | label


def speed() -> dict[str, Any]:
    """One image of the U-Net: simulator and onnxruntime in turns, then onnx's reference once."""
    with _folder() as folder:
        onnx.save(unet(opset=21), folder / "float.onnx")
        with contestants.subject(UNET, calibration=4, validation=1) as subject:
            float_model = api.load(folder / "float.onnx")
            moved = replace(subject, path=folder / "float.onnx", model=float_model)
            made = {qformat: written(moved, qformat, folder) for qformat in FORMATS[:2]}
            feeds = {float_model.input.name: subject.validation.load(0).tensor}
        return {qformat: _timed(path, feeds) for qformat, path in made.items()}


def _timed(made: Path, feeds: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    steps = program(graph.load(made))
    evaluator = ReferenceEvaluator(onnx.load(made), new_ops=[QLinearAdd])
    times: dict[str, list[float]] = {"onnxruntime": [], "simulator": [], "reference": []}
    running.outputs(steps, feeds)
    for turn in range(ROUNDS):
        times["onnxruntime"] += timed_runs(DEFAULT, made, feeds, THREADS, 10)
        times["simulator"] += [_seconds(lambda: running.outputs(steps, feeds)) for _ in range(RUNS)]
        if turn % 2 == 0 and sum(times["reference"]) < 60:
            print("onnx's reference evaluator, one image …", flush=True)
            times["reference"].append(_seconds(lambda: evaluator.run(None, dict(feeds))))
    return {name: float(np.median(seconds)) for name, seconds in times.items()}


class QLinearAdd(OpRun):  # type: ignore[misc]
    """onnxruntime's operator, which onnx's evaluator does not have."""

    op_domain = "com.microsoft"

    def _run(self, *inputs: Any) -> tuple[Any]:
        a, s_a, z_a, b, s_b, z_b, s_y, z_y = inputs
        real = (a.astype(np.float32) - z_a) * s_a + (b.astype(np.float32) - z_b) * s_b
        return (np.clip(np.rint(real / s_y) + z_y, 0, 255).astype(np.uint8),)


def sums_rows() -> Iterator[dict[str, Any]]:
    """Accumulators and pair sums; and again with 7 bits in the channels whose pairs saturated."""
    for name in (*NAMED, "deeplab_v3_mbv2_voc", "road_segmentation_adas_0001", "sinet_portrait", "mobile"):
        with subject_of(name) as subject, _folder() as folder:
            given = subject.calibrated()
            before = _sums(subject, given, QuantSettings(), folder)
            report = folder / "sums.json"
            report.write_text(json.dumps({"products": before["products"]}))
            reduced = QuantSettings(reduced_channels=read_channels(report))
            after = _sums(subject, given, reduced, folder)
            everywhere = _sums(subject, given, QuantSettings(reduce_range=True), folder)
            kept = {"channels": sum(map(len, dict(reduced.reduced_channels).values())), "of": before["channels"]}
            drop = {key: value for key, value in before.items() if key != "products"}
            yield {"model": name, "reduced": kept, "pairs_after": after["pairs"]} | drop | {
                "agreement": {
                    "8 bits": before["agreement"], "reduced": after["agreement"], "7 bits": everywhere["agreement"],
                }
            }  # fmt: skip


def _sums(subject: Subject, given: Calibrated, settings: QuantSettings, folder: Path) -> dict[str, Any]:
    made = subject.quantised(replace(FAST, settings=settings), given).save(folder / "sums.onnx")
    steps = program(graph.load(made))
    sums = tuple(examine(steps, subject.validation, subject.model.input.name, Wanted()).sums.values())
    pairs = [s.saturation for s in sums if s.saturation is not None]
    with open_pair(subject.path, made, threads=THREADS) as (reference, candidate):
        agreement = evaluate(reference, candidate, subject.validation, subject.model.recipe).agreement
    return {
        "products": [s.to_json() for s in sums],
        "channels": sum(len(s.largest) for s in sums),
        "seen": max(s.seen for s in sums),
        "possible": max(s.possible for s in sums),
        "bits": max(s.bits for s in sums),
        "overflowing": sum(bool(s.overflowing) for s in sums),
        "pairs": sum(int(p.pairs.sum()) for p in pairs),
        "pair_sums": sum(p.sums for p in pairs),
        "could": sum(int(p.possible.sum()) for p in pairs),
        "agreement": agreement,
    }


def rounding_rows() -> Iterator[dict[str, Any]]:
    """What other ways to round change, beside onnxruntime's."""
    for name in NAMED:
        with subject_of(name) as subject, _folder() as folder:
            steps = program(graph.load(written(subject, "qdq", folder)))
            for rounding in ROUNDINGS:
                if rounding in ("onnxruntime", CHANNELS_LAST):
                    continue
                other = Simulated(steps, "onnxruntime")
                wanted = Wanted(rounding, proof=False, other=other)
                found = examine(steps, subject.validation, subject.model.input.name, wanted).judgement
                yield {
                    "model": name,
                    "rounding": rounding,
                    "values": found.values,
                    "differ": sum(d.values for d in found.differences.values() if d.integer),
                    "largest": max((d.largest for d in found.differences.values() if d.integer), default=0),
                    "pixels": _other_classes(subject, steps, rounding),
                }


def _other_classes(subject: Subject, steps: Program, rounding: str) -> float | None:
    """The share of pixels whose class is another than with onnxruntime's rounding."""
    changed = total = 0
    for index in range(len(subject.validation.names)):
        feeds = {subject.model.input.name: subject.validation.load(index).tensor}
        one, other = (_classes(running.outputs(steps, feeds, rounding=r)) for r in (rounding, "onnxruntime"))
        changed += int((one != other).sum())
        total += one.size
    return changed / total


def _classes(found: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    scores = next(iter(found.values()))
    return scores.argmax(axis=1) if scores.shape[1] > 1 else scores > 0.5


def processor_rows() -> Iterator[dict[str, Any]]:
    """Full-range weights, with the kernels that onnxruntime takes here: simulated so, and with exact sums."""
    processor = this_processor(DEFAULT)
    for name, maker in SATURATING:
        with subject_of(name, SATURATING_IMAGES) as subject, _folder() as folder:
            made = peer(subject, "qdq", folder) if maker.startswith("onnx") else full_range(subject, maker, folder)
            yield {"model": name, "made by": maker, "processor": processor.name} | _on(processor, subject, made)


def full_range(subject: Subject, qformat: str, folder: Path) -> Path:
    """The subject's int8 model at effort fast, its weights on the whole of 8 bits."""
    options = replace(FAST, settings=FULL_RANGE, qformat=qformat)
    return subject.quantised(options).save(folder / f"{subject.name}.full.onnx")


def _on(processor: SimulatedProcessor, subject: Subject, made: Path) -> dict[str, Any]:
    model = graph.load(made)
    steps = program(model, what=made.name)
    name = subject.model.input.name
    with closing(InRuntime(model, steps, DEFAULT, threads=THREADS)) as other:
        found = examine(steps, subject.validation, name, Wanted(other=other, processor=processor))
        exact = examine(steps, subject.validation, name, Wanted(proof=False, other=other, processor=EXACT)).judgement
    pairs = [s.saturation for s in found.sums.values() if s.saturation is not None]
    return {
        "images": len(subject.validation.names),
        "pair_sums": sum(p.sums for p in pairs),
        "saturated": sum(int(p.pairs.sum()) for p in pairs),
        "with_exact_sums": sum(d.values for d in exact.differences.values() if d.integer),
        **found.judgement.to_json(),
    }


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def main() -> None:
    """Measures what is asked for, keeps the rest, and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("--only", default="node_tests,exact,speed,sums,roundings,processors")
    parser.add_argument("--named", action="store_true", help="exact: only the models that have to be")
    wanted = parser.parse_args()
    asked = wanted.only.split(",")
    path = writing.FOLDER / "simulation.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    figures: dict[str, Any] = {
        key: known[key] for key in ("node_tests", "exact", "speed", "sums", "roundings", "processors") if key in known
    }
    makers: dict[str, Callable[[], Any]] = {
        "speed": speed,
        "node_tests": node_test_rows,
        "exact": lambda: list(_told(exact_rows(wanted.named))),
        "sums": lambda: list(_told(sums_rows())),
        "roundings": lambda: list(_told(rounding_rows())),
        "processors": lambda: list(_told(processor_rows())),
    }
    for key, make in makers.items():
        if key in asked:
            figures[key] = make()
    writing.write("simulation", writing.Page("The integer simulator", METHOD, _sections(figures)), figures)


def _told(rows: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for row in rows:
        print({key: value for key, value in row.items() if key not in ("differences", "products")}, flush=True)
        yield row


MAKERS = {
    "fast": "this tool's models, effort fast",
    "balanced": "this tool's models, effort balanced",
    "onnxruntime's": "models of onnxruntime's quantizer",
}
METHOD = (
    "Integers of the simulator (numpy) beside those of onnxruntime on the CPU with all its optimisations, every inner "
    f"tensor an output; then the outputs of the same model as users run it. {IMAGES} images that calibration did not "
    f"see (sinet_portrait: some it did); effort fast unless another is named, min/max over {CALIBRATION} images. "
    f"Speed: {THREADS} threads, in turns, medians of {ROUNDS} rounds. Pair sums: of two neighbouring products of uint8 "
    "and int8, as AVX2 without VNNI adds them in 16 bits. A section can be made alone (--only speed, exact, …); these "
    "were, one after the other on the machine below. Outputs of the models as users run them are equal too unless it "
    "is said. (channels last): with the rounding of that name. A ConvTranspose, which onnxruntime has in float alone, "
    "counts as a float operator; behind those both go on from onnxruntime's numbers. onnxruntime itself rounds float "
    "weights that stand behind a DequantizeLinear (its rewrite WeightBiasQuantization): hence the larger float "
    "differences of its own models; without that rewrite unet's four ConvTransposes are equal bit for bit. "
    f"Processors: full-range weights, {SATURATING_IMAGES} images, simulated as on the processor whose kernels "
    "onnxruntime takes, found by trying; for avx2 an onnxruntime that sees AVX2 alone, on the machine below."
)


def _sections(figures: Mapping[str, Any]) -> dict[str, tuple[tuple[str, ...], list[tables.Row]]]:
    found: dict[str, tuple[tuple[str, ...], list[tables.Row]]] = {}
    if "speed" in figures:
        rows: list[tables.Row] = [
            (
                qformat,
                f"{s['simulator'] / s['onnxruntime']:.1f}x",
                f"{s['reference'] / s['onnxruntime']:,.0f}x",
                f"{s['reference'] / s['simulator']:,.0f}x",
            )
            for qformat, s in figures["speed"].items()
        ]
        heads = ("format", "simulator / ORT", "onnx.reference / ORT", "onnx.reference / simulator")
        found["Time of one image of the U-Net (base 32, 3x256x256)"] = (heads, rows)
    if "node_tests" in figures:
        found["Node tests of the onnx package"] = (
            ("operator", "passed", "failed", "out of scope", "why"),
            [
                (
                    r["operator"],
                    r.get("passed", 0),
                    r.get("failed", 0),
                    r.get("out of scope", 0),
                    "; ".join(r["reasons"]),
                )
                for r in figures["node_tests"]
            ],
        )
    if "exact" in figures:
        found |= _exact_sections(figures["exact"])
    if "sums" in figures:
        found["Accumulators: the largest seen and possible in any channel"] = (
            ("model", "seen", "possible", "bits", "products that may overflow int32"),
            [
                (r["model"], f"{r['seen']:,}", f"{r['possible']:,}", r["bits"], r["overflowing"])
                for r in figures["sums"]
            ],
        )
        headers = ("model", "pairs", "channels", "then", "agrees: 8 bits", "those at 7", "all at 7")
        title = "Pair sums beyond 16 bits, and with 7 bits in their channels; agreement with the float masks"
        found[title] = (headers, [_sums_row(r) for r in figures["sums"]])
    if "roundings" in figures:
        found["Other roundings beside onnxruntime's"] = (
            ("model", "rounding", "integers that differ", "by at most", "pixels of another class"),
            [
                (
                    r["model"], r["rounding"], tables.percent(r["differ"] / r["values"]), int(r["largest"]),
                    tables.percent(r["pixels"]),
                )
                for r in figures["roundings"]
            ],
        )  # fmt: skip
    if "processors" in figures:
        found |= _processor_section(figures["processors"])
    return found


def _processor_section(rows: list[dict[str, Any]]) -> dict[str, tuple[tuple[str, ...], list[tables.Row]]]:
    title = f"Full-range weights with the kernels of {rows[0]['processor']}: integers that differ from onnxruntime's"
    cells: list[tables.Row] = [
        (
            r["model"],
            r["made by"],
            *(f"{r[key] / 1e6:,.2f} M" for key in ("pair_sums", "saturated", "integer_values")),
            f"{_differing(r):,}",
            f"{r['with_exact_sums'] / 1e6:,.2f} M",
        )
        for r in rows
    ]
    return {title: (("model", "made by", "pairs", "saturate", "integers", "differ", "if exact"), cells)}


def _exact_sections(rows: list[dict[str, Any]]) -> dict[str, tuple[tuple[str, ...], list[tables.Row]]]:
    """For each maker a table: a model a row, a format a column. And what is not equal beside integers."""
    makers = dict.fromkeys(row["made by"].split(", ")[0] for row in rows)
    found: dict[str, tuple[tuple[str, ...], list[tables.Row]]] = {}
    for maker in makers:
        mine = {(r["model"], r["made by"].split(", ")[1]): r for r in rows if r["made by"].startswith(maker)}
        formats = tuple(dict.fromkeys(qformat for _, qformat in mine))
        models = dict.fromkeys(model for model, _ in mine)
        title = f"Integers that differ from onnxruntime's: {MAKERS[maker]}"
        cells = [(model, *(_exact_cell(mine.get((model, qformat))) for qformat in formats)) for model in models]
        found[title] = (("model", *formats), cells)
    beside: list[tables.Row] = []
    for row in rows:
        in_float = [d for d in row.get("differences", ()) if not d["integer"]]
        if in_float:
            most = max(d["largest"] for d in in_float)
            beside.append(
                (row["model"], row["made by"], f"{len(in_float)} of {row['float_tensors']}", tables.real(most))
            )
    found["Tensors of float operators that differ"] = (("model", "made by", "tensors", "by at most"), beside)
    return found


def _exact_cell(row: Mapping[str, Any] | None) -> str | None:
    if row is None:
        return None
    if "failed" in row:
        return "does not run"
    differ = _differing(row)
    outputs = row["outputs_as_users_run_it"]
    mark = " (channels last)" if row["rounding"] == CHANNELS_LAST else ""
    return f"{differ:,} of {row['integer_values'] / 1e6:.1f} M{mark}" + (", outputs differ" if outputs else "")


def _differing(row: Mapping[str, Any]) -> int:
    return sum(d["values"] for d in row["differences"] if d["integer"])


def _sums_row(r: Mapping[str, Any]) -> tables.Row:
    agreement = (tables.percent(r["agreement"][key]) for key in ("8 bits", "reduced", "7 bits"))
    return (r["model"], f"{r['pairs']:,}", f"{r['reduced']['channels']:,}", f"{r['pairs_after']:,}", *agreement)


if __name__ == "__main__":
    main()
