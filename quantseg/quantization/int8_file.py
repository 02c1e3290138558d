"""What a quantised model's file says of itself, for a report on a model whose plan is not known."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from quantseg import graph
from quantseg.quantization.stored_grids import StoredGrid, stored_grids
from quantseg.quantization.writing import FLOAT_DIGEST_KEY

NO_INTEGERS = "no integers"
_MOVES = frozenset({"QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"})


@dataclass(frozen=True)
class Int8File:
    """What the file of a quantised model says. maker: the tool that its metadata names; None without one.

    made_from: SHA-256 of the float model, which files of this tool have. style: how integers are written. activations,
    weights: integer type → number of tensors. per_channel: how many weights have one scale for each channel.
    operators: operator → how many nodes, without those that only quantise or dequantise. grids: of the activations.
    """

    maker: str | None
    made_from: str | None
    style: str
    activations: Mapping[str, int]
    weights: Mapping[str, int]
    per_channel: int
    operators: Mapping[str, int]
    grids: tuple[StoredGrid, ...]

    def to_json(self) -> dict[str, Any]:
        """Values for JSON. The grids are tensor → type, scale and zero-point."""
        return {
            "maker": self.maker,
            "style": self.style,
            "activations": dict(self.activations),
            "weights": dict(self.weights),
            "weights_per_channel": self.per_channel,
            "operators": dict(self.operators),
            "grids": {
                grid.tensor: {
                    "type": grid.params.qtype.name,
                    "scale": float(grid.params.scale),
                    "zero_point": int(grid.params.zero_point),
                }
                for grid in self.grids
            },
        }


def read_int8_file(model: ir.Model) -> Int8File:
    """Reads it from the model's nodes and metadata."""
    grids = stored_grids(model)
    activations = [grid for grid in grids if not grid.weight]
    weights = [grid.params for grid in grids if grid.weight and grid.params.qtype.bits <= 16]
    nodes = [node for part in model.graphs() for node in part]
    return Int8File(
        maker=" ".join(filter(None, (model.producer_name, model.producer_version))) or None,
        made_from=model.metadata_props.get(FLOAT_DIGEST_KEY),
        style=_style(model, {node.op_type for node in nodes}),
        activations=_ordered(Counter(grid.params.qtype.name for grid in activations)),
        weights=_ordered(Counter(params.qtype.name for params in weights)),
        per_channel=sum(params.axis is not None for params in weights),
        operators=_ordered(Counter(node.op_type for node in nodes if node.op_type not in _MOVES)),
        grids=tuple(grid for grid in activations if grid.params.axis is None),
    )


def _style(model: ir.Model, operators: set[str]) -> str:
    if not graph.is_quantised(model):
        return NO_INTEGERS
    if any(name.startswith("QLinear") or name == "QGemm" for name in operators):
        return "integer operators (QOperator)"
    if "DynamicQuantizeLinear" in operators:
        return "dynamic: activations get their grids while the model runs"
    return "QDQ: float operators between Q and DQ nodes"


def _ordered(counts: "Counter[str]") -> Mapping[str, int]:
    return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))
