"""The values of an analysis of error sources."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from quantseg.data.heads import JudgedOutputs
from quantseg.mixed_precision.error_sources.statistics import LostBits


@dataclass(frozen=True)
class TensorError:
    """A rounded tensor. made_by: operator, or "input". read_by: operators of its readers, each once.

    risk: of rounding it alone, all else in float. clipped: the share 0…1 of its squared error that clipping makes, on
    the measured images. lost: where the bits of its grid go. None for both where the tensor has no finite values.
    """

    name: str
    made_by: str
    read_by: tuple[str, ...]
    risk: float
    clipped: float | None
    lost: LostBits | None


@dataclass(frozen=True)
class WeightError:
    """The risk of rounding the weight and bias of a node alone."""

    node: str
    op_type: str
    risk: float


@dataclass(frozen=True)
class ChannelError:
    """Neighbouring channels of a tensor. channels: the first and the last one, from 0. count: of the tensor's.

    share: of the tensor's squared risk, with the other channels in float, 0…1.
    """

    tensor: str
    channels: tuple[int, int]
    count: int
    share: float


@dataclass(frozen=True)
class Growth:
    """The risk of rounding the first `tensors` tensors in the graph's order, up to `last`, all else in float."""

    tensors: int
    last: str
    risk: float


@dataclass(frozen=True)
class ErrorSources:
    """Which roundings carry the error. whole, weights, activations: the risk of rounding all, or all of a kind.

    tensors: with the largest risk first. by_node: weights, likewise; empty where weights were rounded together, as
    compensated rounding does. channels: of the tensors with the largest risks. growth: along the graph. judged: the
    outputs that are compared.
    """

    images: int
    whole: float
    weights: float
    activations: float
    tensors: tuple[TensorError, ...]
    by_node: tuple[WeightError, ...]
    channels: tuple[ChannelError, ...]
    growth: tuple[Growth, ...]
    judged: JudgedOutputs

    @property
    def apart(self) -> float:
        """The risk of all activations if their errors were independent: the root of the summed squares."""
        return math.sqrt(math.fsum(one.risk**2 for one in self.tensors))

    def share(self, found: TensorError) -> float:
        """The tensor's share 0…1 of the summed squared risks of all tensors."""
        return 0.0 if self.apart == 0 else (found.risk / self.apart) ** 2

    def share_of(self, found: WeightError) -> float:
        """The weight's share 0…1 of the summed squared risks of all weights."""
        total = math.fsum(one.risk**2 for one in self.by_node)
        return 0.0 if total == 0 else found.risk**2 / total

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        parts: dict[str, Sequence[Any]] = {
            "tensors": self.tensors,
            "by_node": self.by_node,
            "channels": self.channels,
            "growth": self.growth,
        }
        whole = {"whole": self.whole, "weights": self.weights, "activations": self.activations, "apart": self.apart}
        return {"images": self.images} | whole | {name: [asdict(one) for one in of] for name, of in parts.items()}

    def __str__(self) -> str:
        worst = self.tensors[0] if self.tensors else None
        most = "" if worst is None else f"; most by {worst.name} ({100 * self.share(worst):.0f} % of the activations')"
        return f"risk {self.whole:.4f}: activations {self.activations:.4f}, weights {self.weights:.4f}{most}"
