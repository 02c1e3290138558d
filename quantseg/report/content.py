"""Report: all that was measured of one quantised model, as one value."""

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from quantseg.evaluation.agreement import Evaluation
from quantseg.evaluation.instances import ap_of
from quantseg.evaluation.judgement import MaskJudgement, judge
from quantseg.quantization.int8_file import Int8File
from quantseg.report.images import ReportImage
from quantseg.report.plan import PlanSummary
from quantseg.report.ranges import DRAWN_BINS, TensorRange, coarser
from quantseg.report.summary import PEER, PeerSummary, Summary, machine_of
from quantseg.report.verdict import Made, Verdict, worded
from quantseg.runtimes.execution import ExecutedNode, ExecutionSummary
from quantseg.runtimes.latency import Timing
from quantseg.runtimes.roofline import Roofs, fraction_of_roof
from quantseg.simulation.saturation import ExactnessVerdict

FLOAT = "float"
INT8 = "int8"


@dataclass(frozen=True)
class ModelFile:
    """A model file. file: its name without folders. size: bytes, external data included. sha256: hexadecimal."""

    file: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Peer:
    """The model that another quantizer makes of the same float model. evaluation: against the float model.

    name: of the quantizer, PEER or NNCF. failed: why there is no such model; the other fields are then None.
    """

    name: str = PEER
    model: ModelFile | None = None
    evaluation: Evaluation | None = None
    failed: str | None = None


@dataclass(frozen=True)
class Report:
    """The measurements of one quantised model. Mappings and rows of `latency` are keyed FLOAT, INT8 and a peer's name.

    convolutions: the convolutions that each model ran, the slowest first. roofs: the roofline they are compared with.
    peers: the other quantizers' models, if compared. data: the data set of the images, if known. note: a caveat to read
    before the figures. ranges: the tensors with the lowest estimated SQNR, the worst first. images: the images
    with the lowest agreement, the worst first. sums: on which processors the int8 model's integer sums are exact.
    seen: how many of the judged images the model was calibrated on; None if unknown. made: how the int8 model was made.
    provenance: what else the figures depend on, such as versions, processor and data. commands: the command lines that
    made the report. plan: None for a model that was not made here; `file` is then what its file says, and left_out the
    reason for each section that there is not.
    """

    name: str
    float_model: ModelFile
    int8_model: ModelFile
    plan: PlanSummary | None
    evaluation: Evaluation
    latency: tuple[Timing, ...] = ()
    executed: Mapping[str, ExecutionSummary] = field(default_factory=dict)
    convolutions: Mapping[str, tuple[ExecutedNode, ...]] = field(default_factory=dict)
    roofs: Roofs | None = None
    ranges: tuple[TensorRange, ...] = ()
    images: tuple[ReportImage, ...] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)
    commands: tuple[str, ...] = ()
    peers: tuple[Peer, ...] = ()
    data: str | None = None
    note: str | None = None
    sums: ExactnessVerdict | None = None
    seen: int | None = None
    made: Made = field(default_factory=Made)
    file: Int8File | None = None
    left_out: Mapping[str, str] = field(default_factory=dict)

    @property
    def judgement(self) -> MaskJudgement:
        """Whether the int8 model keeps the masks, where it is worst, and how far that can be relied on."""
        return judge(self.evaluation, seen=self.seen)

    @property
    def verdict(self) -> Verdict:
        """The judgement in words, with what to do next."""
        return worded(self.judgement, self.made, self.summary.speed_ratio)

    @property
    def summary(self) -> Summary:
        """The main figures of the report, as one row."""
        times = {timing.name: timing for timing in self.latency}
        scores = self.evaluation.float_scores, self.evaluation.int8_scores
        return Summary(
            name=self.name,
            images=self.evaluation.images,
            float_bytes=self.float_model.size,
            int8_bytes=self.int8_model.size,
            float_ms=times[FLOAT].median_ms if FLOAT in times else None,
            int8_ms=times[INT8].median_ms if INT8 in times else None,
            agreement=self.evaluation.agreement,
            float_iou=scores[0].mean_iou if scores[0] else None,
            int8_iou=scores[1].mean_iou if scores[1] else None,
            peers=tuple(_peer_summary(peer, times.get(peer.name)) for peer in self.peers),
            data=self.data,
            note=self.note,
            judged=self.evaluation.judged.note or None,
            level=self.judgement.level,
            machine=machine_of(self.provenance),
            kept=_kept(self.evaluation),
            float_ap=ap_of(scores[0]),
            int8_ap=ap_of(scores[1]),
        )

    def save(self, folder: Path | str) -> tuple[Path, ...]:
        """Writes report.json, report.md and index.html into the folder, and gives their paths. Raises OutputError."""
        from quantseg.report.writing import write_report

        return write_report(self, Path(folder))

    def __str__(self) -> str:
        from quantseg.report.verdict import verdict

        return textwrap.fill(f"{self.name}: {self.verdict.title}. {verdict(self.summary)}", 100)

    def to_json(self) -> dict[str, Any]:
        """Values for JSON: all figures, without the drawn images. Infinite ratios are null."""
        return {
            "name": self.name,
            "verdict": self.judgement.to_json() | self.verdict.to_json(),
            "summary": self.summary.to_json(),
            "models": {FLOAT: asdict(self.float_model), INT8: asdict(self.int8_model)},
            "evaluation": self.evaluation.to_json(),
            "peers": [_peer_to_json(peer) for peer in self.peers],
            "latency": [asdict(timing) for timing in self.latency],
            "executed": {name: asdict(summary) for name, summary in self.executed.items()},
            "roofline": None if self.roofs is None else _roofline_to_json(self.roofs, self.convolutions),
            "plan": None if self.plan is None else asdict(self.plan),
            "integer_sums": None if self.sums is None else self.sums.to_json(),
            "worst_ranges": [_range_to_json(tensor) for tensor in self.ranges],
            **({} if self.file is None else {"int8_file": self.file.to_json(), "left_out": dict(self.left_out)}),
            "provenance": dict(self.provenance),
            "commands": list(self.commands),
        }


def _peer_summary(peer: Peer, timing: Timing | None) -> PeerSummary:
    evaluation = peer.evaluation
    scores = None if evaluation is None else evaluation.int8_scores
    return PeerSummary(
        peer.name,
        bytes=None if peer.model is None else peer.model.size,
        ms=None if timing is None else timing.median_ms,
        agreement=None if evaluation is None else evaluation.agreement,
        iou=None if scores is None else scores.mean_iou,
        failed=peer.failed,
        kept=None if evaluation is None else _kept(evaluation),
        ap=ap_of(scores),
    )


def _kept(evaluation: Evaluation) -> float | None:
    return None if evaluation.instances is None else evaluation.instances.total.kept()


def _peer_to_json(peer: Peer) -> dict[str, Any]:
    return {
        "name": peer.name,
        "model": None if peer.model is None else asdict(peer.model),
        "evaluation": None if peer.evaluation is None else peer.evaluation.to_json(),
        "failed": peer.failed,
    }


def _roofline_to_json(roofs: Roofs, convolutions: Mapping[str, Sequence[ExecutedNode]]) -> dict[str, Any]:
    return {
        "roofs": asdict(roofs),
        "convolutions": {
            name: [{**asdict(node), "fraction_of_roof": fraction_of_roof([node], roofs)} for node in nodes]
            for name, nodes in convolutions.items()
        },
    }


def _range_to_json(tensor: TensorRange) -> dict[str, Any]:
    edges, counts = coarser(tensor.histogram, DRAWN_BINS)
    return {
        "name": tensor.name,
        "qtype": tensor.qtype,
        "sqnr_db": tensor.sqnr_db,
        "clipped": tensor.clipped,
        "used": tensor.used,
        "step": tensor.step,
        "clip": [tensor.clip.minimum, tensor.clip.maximum],
        "observed": [tensor.histogram.minimum, tensor.histogram.maximum],
        "histogram": {"start": edges[0], "bin_width": edges[1] - edges[0], "counts": counts.tolist()},
    }
