"""What is said of a written model: on which processors its integer sums are exact, and what mends it where not."""

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quantseg import graph
from quantseg.quantization.pair_check import CheckedProduct, judge
from quantseg.runtimes import DEFAULT
from quantseg.simulation.saturation.machine import saturates
from quantseg.simulation.saturation.processors import PROCESSORS, Processor, named

MEASURED = "measured here"

REMEDY = "quantseg quantize FLOAT_MODEL data=DIR (without full_range_weights=True) writes one that cannot"


@dataclass(frozen=True)
class ExactnessVerdict:
    """The products of a model. here: the name of this machine's processor, None where the system does not tell.

    saturates_here: whether this machine saturates what can be; found by trying.
    """

    products: tuple[CheckedProduct, ...]
    here: str | None
    saturates_here: bool

    @property
    def channels(self) -> int:
        """Output channels of all products that were judged."""
        return sum(one.channels for one in self.products)

    @property
    def unsafe(self) -> dict[str, tuple[int, ...]]:
        """Node → its channels that could saturate."""
        return {one.node: one.unsafe for one in self.products if one.unsafe}

    @property
    def unsafe_channels(self) -> int:
        """How many channels could saturate."""
        return sum(map(len, self.unsafe.values()))

    @property
    def unknown(self) -> dict[str, int]:
        """Why products could not be judged, and how many for each reason."""
        return dict(Counter(one.unknown for one in self.products if one.unknown is not None))

    @property
    def is_exact(self) -> bool:
        """Whether every sum is exact on every processor."""
        return not self.unsafe and not self.unknown

    def exact_on(self, processor: Processor) -> bool:
        """Whether no sum of the products that were judged can saturate there."""
        return not (processor.in_16_bits and self.unsafe)

    def known(self, processor: Processor) -> str:
        """How that is known: measured here, emulated, from source."""
        return MEASURED if processor.name == self.here else processor.known

    @property
    def sentence(self) -> str:
        """All of it in one or two sentences."""
        if not self.products:
            return "no product of this model is computed in integers"
        left_out = "".join(f"; {count} not judged: {reason}" for reason, count in self.unknown.items())
        if not self.unsafe:
            return f"integer sums are exact on: {', '.join(one.name for one in PROCESSORS)}{left_out}"
        wrong = ", ".join(one.name for one in PROCESSORS if not self.exact_on(one))
        does = "this machine does" if self.saturates_here else "this machine does not"
        return (
            f"integer sums of {self.unsafe_channels:,} of {self.channels:,} channels can saturate on: {wrong} (x86 "
            f"without VNNI); {does}{left_out}. {REMEDY}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "exact": self.is_exact,
            "channels": self.channels,
            "unsafe_channels": self.unsafe_channels,
            "unsafe": {node: list(channels) for node, channels in self.unsafe.items()},
            "not_judged": {one.node: one.unknown for one in self.products if one.unknown is not None},
            "this_machine_saturates": self.saturates_here,
            "processors": [
                {"name": p.name, "instruction": p.instruction, "exact": self.exact_on(p), "known": self.known(p)}
                for p in PROCESSORS
            ],
        }


def verdict(model: ir.Model) -> ExactnessVerdict:
    """Of a quantised model as it is written."""
    return ExactnessVerdict(judge(model), *_this_machine())


@functools.cache
def _this_machine() -> tuple[str | None, bool]:
    """Its name among PROCESSORS, where the system tells, and whether onnxruntime's sums saturate on it."""
    flags = Path("/proc/cpuinfo")
    here = named(frozenset(flags.read_text(encoding="utf-8", errors="replace").split())) if flags.is_file() else None
    return here, saturates(DEFAULT)


def verdict_of(path: Path) -> ExactnessVerdict:
    """Of a model's file. Raises ModelError."""
    return verdict(graph.load(path))
