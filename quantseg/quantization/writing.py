"""From a candidate to the quantised model: emitted, then checked for pair sums that could saturate."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import onnx_ir as ir

from quantseg import graph
from quantseg.data.recipe import METADATA_KEY
from quantseg.errors import PlanError
from quantseg.files import write_bytes
from quantseg.quantization import formats
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.formats import litert
from quantseg.quantization.formats.weights import store_in_int8
from quantseg.quantization.pair_check import require_safe
from quantseg.quantization.plan import Fit, QuantPlan
from quantseg.quantization.qtypes import INT8

log = logging.getLogger(__name__)

FLOAT_DIGEST_KEY = litert.DIGEST_KEY
"""The key in a quantised model's metadata of the float model's SHA-256."""
TFLITE = "tflite"
"""The output format of target litert, which is no ONNX file."""


@dataclass(frozen=True, eq=False)
class QuantizedModel:
    """A candidate and its quantised model in the output format `qformat`.

    model: in ONNX. For a .tflite file it is the QDQ form of the same plan: the same integers on the same grids.
    tflite: the bytes of that file; None for an ONNX model.
    """

    candidate: Candidate
    model: ir.Model
    qformat: str
    tflite: bytes | None = None

    @property
    def plan(self) -> QuantPlan:
        """The plan of the model."""
        return self.candidate.plan

    @property
    def notes(self) -> tuple[str, ...]:
        """Remarks, one line each: first the fallbacks and measurements, then the plan's notes."""
        return (*self.fallbacks, *self.plan.notes)

    @property
    def fit(self) -> Fit | None:
        """What was measured for the model on this machine; None without measurements."""
        return self.candidate.overrides.fit

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """What this machine's runtime lacks, and how the latencies of whole models compared."""
        return () if self.fit is None else self.fit.notes

    @property
    def suffix(self) -> str:
        """The ending of its file's name."""
        return ".onnx" if self.tflite is None else litert.SUFFIX

    @property
    def size(self) -> int:
        """Bytes of its file."""
        return len(graph.to_bytes(self.model) if self.tflite is None else self.tflite)

    def save(self, path: Path | str) -> Path:
        """Writes the ONNX or .tflite file atomically and returns its path. Raises OutputError."""
        target = Path(path)
        if self.tflite is None:
            graph.save(self.model, target)
        else:
            write_bytes(target, self.tflite)
        return target

    def to_json(self) -> dict[str, object]:
        """The plan and the measurements, if there are any, as plain values."""
        if self.fit is None:
            return self.plan.to_json()
        placed = {"format": self.qformat, "placed": "by parts" if self.fit.by_parts else "by rule"}
        measured = placed | {"costs": [cost.to_json() for cost in self.fit.costs]} if self.fit.costs else {}
        return self.plan.to_json() | measured | ({"fallbacks": list(self.fallbacks)} if self.fallbacks else {})

    def __str__(self) -> str:
        settings, output = self.candidate.settings, self.candidate.model.recipe.output
        what = f"{settings.weight.name} weights, {settings.activation.name} activations"
        return f"QuantizedModel, {self.qformat}: {what}; judged output {output.name!r}\n{self.plan}"


def written(candidate: Candidate, qformat: str = "qdq") -> QuantizedModel:
    """The quantised model of a candidate, in the format that was measured to be fastest if one was, else in `qformat`.

    Its metadata contains the recipe. It has been checked that no pair sum can saturate, except with full_range_weights.
    Raises PlanError, CalibrationError.
    """
    fit = candidate.overrides.fit
    wanted = qformat if fit is None else fit.qformat
    if wanted == TFLITE:
        of_same_plan = written(candidate)
        return replace(of_same_plan, qformat=TFLITE, tflite=litert.to_tflite(candidate))
    prepared, settings = candidate.prepared, candidate.settings
    if prepared.fused is not None and wanted != "qdq":
        raise PlanError(f"activations are fused into products in qdq, not in {wanted}")
    if settings.activation is INT8 and wanted == "qdq":
        log.info("int8 activations in QDQ: onnxruntime on x86 may run some of them in float; inspect tells which")
    metadata = {METADATA_KEY: candidate.model.recipe.to_toml(), FLOAT_DIGEST_KEY: candidate.model.digest}
    quantised = formats.emit(prepared.model, candidate.plan, qformat=wanted, metadata=metadata)
    if fit is not None and fit.stores_weights:
        store_in_int8(quantised)
    graph.check(quantised, full=True)
    if not settings.full_range_weights:
        require_safe(quantised)
    return QuantizedModel(candidate, quantised, wanted)
