"""Summary: the main figures of a report as one row, written to report.json and read again for the index."""

import reprlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from quantseg.evaluation import tool_comparison
from quantseg.evaluation.levels import LEVELS, UNKNOWN

PEER, NNCF = tool_comparison.ONNXRUNTIME, tool_comparison.NNCF
PEERS = (PEER, NNCF)
"""The other quantizers, in the order of tables."""
_OF_INSTANCES = ("kept", "ap", "float_ap", "int8_ap")


@dataclass(frozen=True)
class PeerSummary:
    """Another quantizer's figures in a Summary, in the same units. failed: why there is no such model.

    kept, ap: as in Summary.
    """

    name: str
    bytes: int | None = None
    ms: float | None = None
    agreement: float | None = None
    iou: float | None = None
    failed: str | None = None
    kept: float | None = None
    ap: float | None = None


@dataclass(frozen=True)
class Summary:
    """The main figures of a report. Sizes in bytes, latencies in ms, agreement and IoU 0…1; None if not measured.

    peers: figures of the other quantizers, if compared. data, note: as in Report. judged: which output was judged,
    where there are several. level: of the judgement; see quantseg/evaluation/judgement.py. machine: the processor and
    the runtimes that the figures are of. Of instances: kept, the share of the float model's that is matched at mask IoU
    0.5, and each model's mask AP.
    """

    name: str
    images: int
    float_bytes: int
    int8_bytes: int
    float_ms: float | None
    int8_ms: float | None
    agreement: float
    float_iou: float | None
    int8_iou: float | None
    peers: tuple[PeerSummary, ...] = ()
    data: str | None = None
    note: str | None = None
    judged: str | None = None
    level: str | None = None
    machine: str | None = None
    kept: float | None = None
    float_ap: float | None = None
    int8_ap: float | None = None

    def to_json(self) -> dict[str, Any]:
        """The fields as plain values; without those of instances where there are none."""
        values = asdict(self)
        for one in (values, *values["peers"]):
            for key in _OF_INSTANCES:
                if one.get(key, 0) is None:
                    del one[key]
        return values

    @staticmethod
    def from_json(values: dict[str, Any]) -> "Summary":
        """The inverse of `to_json`. Raises TypeError or ValueError for values of another form."""
        peers = tuple(PeerSummary(**_typed(PeerSummary, peer)) for peer in values.get("peers", ()))
        own = {name: value for name, value in values.items() if name != "peers"}
        return Summary(**_typed(Summary, own), peers=peers)

    @property
    def ap_change(self) -> float | None:
        """Mask AP against the labels: int8 minus float."""
        return None if self.float_ap is None or self.int8_ap is None else self.int8_ap - self.float_ap

    @property
    def size_ratio(self) -> float:
        """How many times smaller the int8 model is."""
        return self.float_bytes / self.int8_bytes

    @property
    def speed_ratio(self) -> float | None:
        """How many times as fast the int8 model is as the float model; below 1 it is slower."""
        return None if self.float_ms is None or self.int8_ms is None else self.float_ms / self.int8_ms

    def peer(self, name: str) -> PeerSummary:
        """The figures of a quantizer; without any where it was not compared."""
        return next((peer for peer in self.peers if peer.name == name), PeerSummary(name))

    def peer_speed_ratio(self, name: str) -> float | None:
        """How many times as fast another quantizer's model is as the float model."""
        ms = self.peer(name).ms
        return None if self.float_ms is None or ms is None else self.float_ms / ms

    @property
    def iou_change(self) -> float | None:
        """Mean IoU against the labels: int8 minus float."""
        return None if self.float_iou is None or self.int8_iou is None else self.int8_iou - self.float_iou


_RUNTIMES = ("onnxruntime", "openvino", "nncf")


def machine_of(provenance: Mapping[str, str]) -> str | None:
    """The processor, its instruction sets and the runtimes' versions in one line; None where nothing tells them."""
    if "processor" not in provenance:
        return None
    versions = (f"{name} {provenance[name]}" for name in _RUNTIMES if name in provenance)
    return ", ".join((f"{provenance['processor']} ({provenance.get('instruction sets', 'unknown')})", *versions))


_LARGEST = 2.0**63
"""No figure of a report is as large, and none of these makes a sum or quotient overflow."""
_MEASURED = ("float_bytes", "int8_bytes", "bytes", "float_ms", "int8_ms", "ms")
"""Figures that are divided by: above zero where they are known."""


def _typed(kind: type[PeerSummary | Summary], values: Mapping[str, Any]) -> Mapping[str, Any]:
    """The values, if they are what the fields of the dataclass hold. Raises TypeError or ValueError."""
    for name, hint in get_type_hints(kind).items():
        if name not in values:
            continue
        value: Any = values[name]
        whole = type(value) is int
        if type(value) is bool or not (isinstance(value, hint) or (whole and isinstance(0.0, hint))):
            raise TypeError(f"{name} is {reprlib.repr(value)}")
        if whole or isinstance(value, float):
            _check_figure(name, value)
        elif isinstance(value, str):
            if name == "level" and value not in (*LEVELS, UNKNOWN):
                raise ValueError(f"level is {reprlib.repr(value)}")
            value.encode()  # JSON may hold halves of surrogate pairs, which no file can
    return values


def _check_figure(name: str, value: float) -> None:
    if not (0 <= value < _LARGEST and (value or name not in _MEASURED)):
        raise ValueError(f"{name} is {reprlib.repr(value)}")
