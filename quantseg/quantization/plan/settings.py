"""What the user wants of the quantised model."""

from dataclasses import dataclass

from quantseg.errors import PlanError
from quantseg.quantization.qtypes import INT4, INT8, UINT8, QType


@dataclass(frozen=True)
class QuantSettings:
    """Types, granularity and which nodes. The defaults suit onnxruntime on CPUs: uint8 activations, int8 weights.

    symmetric: activations have their zero-point in the middle; weights of a signed type are always symmetric.
    weight: int4 applies to products inside the network; see `weight_types` for those that keep 8 bits.
    full_range_weights: int8 weights may use all 8 bits, although pair sums may then saturate on processors with AVX2 or
    AVX-512 but without VNNI. By default none can; see quantseg.quantization.pairs.
    reduce_range: 7-bit weights, with which no pair sum saturates either.
    reduced_channels: (node, output channels) that alone get 7-bit weights, as a simulation found necessary.
    include, exclude: node names, shell patterns (`encoder.*`, `Conv_1?`) or operator types; exclude wins.
    """

    activation: QType = UINT8
    weight: QType = INT8
    per_channel: bool = True
    symmetric: bool = False
    full_range_weights: bool = False
    reduce_range: bool = False
    reduced_channels: tuple[tuple[str, tuple[int, ...]], ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.activation not in (UINT8, INT8):
            raise PlanError(f"{self.activation.name} activations: no kernel takes them; choose uint8 or int8")
        if self.weight not in (UINT8, INT8, INT4):
            raise PlanError(f"{self.weight.name} weights: no kernel takes them; choose int8, uint8 or int4")
        if self.weight is INT4 and not self.per_channel:
            raise PlanError(
                "int4 weights per tensor: 15 steps are too few for all channels; leave out per_channel=False"
            )
        if self.activation is INT8 and self.weight is UINT8:
            raise PlanError("int8 activations with uint8 weights: no kernel takes this pair; use int8 weights")
        if self.full_range_weights and self.reduce_range:
            raise PlanError("full_range_weights=True and reduce_range=True contradict each other; give one of them")

    @property
    def bounds_pairs(self) -> bool:
        """Whether int8 weights are chosen so that no pair sum can saturate at 16 bits."""
        return not (self.full_range_weights or self.reduce_range)

    def reduced_channels_of(self, node: str) -> tuple[int, ...]:
        """The output channels of a node that get 7-bit weights by `reduced_channels`."""
        return dict(self.reduced_channels).get(node, ())

    @property
    def wide_weight(self) -> QType:
        """The type of the weights that keep 8 bits whatever `weight` is."""
        return INT8 if self.weight.bits < 8 else self.weight

    def to_json(self) -> dict[str, object]:
        """The settings as plain values."""
        return {
            "activation": self.activation.name,
            "weight": self.weight.name,
            "per_channel": self.per_channel,
            "symmetric": self.symmetric,
            "full_range_weights": self.full_range_weights,
            "reduce_range": self.reduce_range,
            "reduced_channels": {node: list(channels) for node, channels in self.reduced_channels},
            "include": list(self.include),
            "exclude": list(self.exclude),
        }
