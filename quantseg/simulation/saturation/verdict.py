"""The verdict on a quantised model: on which processors its integer sums are exact, and what to do where not."""

import functools
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quantseg.quantization.model_files import read_file
from quantseg.quantization.pair_check import CheckedProduct, judge
from quantseg.runtimes import DEFAULT
from quantseg.simulation.saturation.machine import saturates
from quantseg.simulation.saturation.processors import PROCESSORS, Processor, named

MEASURED = "measured here"

REMEDY = "quantseg quantize FLOAT_MODEL data=DIR (without full_range_weights=True) writes one that cannot"


@dataclass(frozen=True)
class ExactnessVerdict:
    """products: the checked convolutions and matrix products. here: this machine's processor, a name in PROCESSORS.

    `here` is None where the system does not tell. saturates_here: whether pair sums saturate on this machine, measured.
    """

    products: tuple[CheckedProduct, ...]
    here: str | None
    saturates_here: bool

    @property
    def channels(self) -> int:
        """The number of output channels of all checked products."""
        return sum(one.channels for one in self.products)

    @property
    def unsafe(self) -> dict[str, tuple[int, ...]]:
        """Node → the channels whose pair sums could saturate."""
        return {one.node: one.unsafe for one in self.products if one.unsafe}

    @property
    def unsafe_channels(self) -> int:
        """The number of channels whose pair sums could saturate."""
        return sum(map(len, self.unsafe.values()))

    @property
    def unknown(self) -> dict[str, int]:
        """Reason why products could not be checked → how many."""
        return dict(Counter(one.unknown for one in self.products if one.unknown is not None))

    @property
    def is_exact(self) -> bool:
        """Whether every sum is exact on every processor."""
        return not self.unsafe and not self.unknown

    def exact_on(self, processor: Processor) -> bool:
        """Whether no checked product can saturate on this kind of processor."""
        return not (processor.in_16_bits and self.unsafe)

    def known(self, processor: Processor) -> str:
        """The evidence for `exact_on`: measured here, emulated, or read from source code."""
        return MEASURED if processor.name == self.here else processor.known

    @property
    def sentence(self) -> str:
        """The verdict in one or two sentences."""
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
        """Values for JSON."""
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
    """The verdict on a quantised model."""
    return ExactnessVerdict(judge(model), *_this_machine())


@functools.cache
def _this_machine() -> tuple[str | None, bool]:
    """This machine's name in PROCESSORS (None if unknown), and whether onnxruntime's pair sums saturate on it."""
    flags = Path("/proc/cpuinfo")
    here = named(frozenset(flags.read_text(encoding="utf-8", errors="replace").split())) if flags.is_file() else None
    return here, saturates(DEFAULT)


def verdict_of(path: Path) -> ExactnessVerdict:
    """The verdict on a model file. Raises ModelError."""
    return verdict(read_file(path))
