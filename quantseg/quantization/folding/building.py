"""Insertion of nodes and constants into a graph that is being folded, under unused names."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import ArrayLike, NDArray

from quantseg.graph.edit import initializer


class Builder:
    """Inserts nodes before `position`, or at the end of the graph, and names them after `stem`."""

    def __init__(self, graph: ir.Graph, stem: str, position: ir.Node | None = None) -> None:
        self._graph, self._stem, self._position = graph, stem, position
        parts = [graph, *graph.subgraphs()]
        nodes = [node for part in parts for node in part]
        values = [value for part in parts for value in (*part.inputs, *part.initializers.values())]
        values += (output for node in nodes for output in node.outputs)
        self._taken = {str(value.name) for value in values} | {str(node.name) for node in nodes}

    def free(self, name: str) -> str:
        """The name, or the first of name_1, name_2, … that is unused; used from now on."""
        found, number = name, 0
        while found in self._taken:
            number += 1
            found = f"{name}_{number}"
        self._taken.add(found)
        return found

    def node(self, op_type: str, inputs: Sequence[ir.Value | None], **attributes: Any) -> ir.Value:
        """Inserts a node and returns its only output."""
        name = self.free(f"{self._stem}_{op_type}")
        made = ir.node(op_type, inputs, attributes, name=name)
        made.outputs[0].name = self.free(f"{name}_out")
        if self._position is None:
            self._graph.append(made)
        else:
            self._graph.insert_before(self._position, made)
        return made.outputs[0]

    def constant(self, name: str, numbers: ArrayLike, dtype: type[np.generic]) -> ir.Value:
        """A new initializer."""
        array: NDArray[Any] = np.asarray(numbers, dtype)
        return initializer(self._graph, self.free(f"{self._stem}_{name}"), array)
