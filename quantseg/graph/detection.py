"""Where a graph detects instances: what chooses, places and decodes them, apart from what has learned weights.

A graph detects if it has an operator that only detectors have, or the outputs of one: a table of candidates beside
masks or prototypes. Its detection logic is every node from which no product with learned weights is reached by values.
Integers, conditions, and the boxes at which a RoiAlign reads are no such values: they only choose.
"""

from dataclasses import dataclass

import onnx_ir as ir

from quantseg.graph.edit import static_shape
from quantseg.graph.operators import MOVEMENTS, PRODUCTS

REGIONS = frozenset({"MaxRoiAlign", "RoiAlign"})
"""Operators that read a feature map (input 0) at boxes."""
SUPPRESSION = "NonMaxSuppression"
CHOOSING = frozenset(
    {
        "Compress", "GatherElements", "GatherND", "If", "Loop", "NonZero", "Scan", "ScatterElements", "ScatterND",
        SUPPRESSION, "TopK", "Unique",
    }
)  # fmt: skip
"""Operators by which detectors choose and place instances: of these, integers change which ones."""
COUNTING = frozenset({"Compress", "If", "Loop", "NonZero", SUPPRESSION, "Scan", "Unique"})
"""Operators whose outputs may be of other sizes for each image."""
_BOX_MATRIX = (4, 4)
"""The shape of a matrix that turns boxes from centre and size into corners."""


@dataclass(frozen=True)
class Detector:
    """The parts of a graph that detects. learned: products with learned weights, or of activations that lead to such.

    last: those of them after which no other follows. logic: the nodes that decode, choose and place instances.
    """

    learned: frozenset[ir.Node]
    last: frozenset[ir.Node]
    logic: frozenset[ir.Node]


def detects(graph: ir.Graph) -> bool:
    """Whether the graph detects instances: by an operator, in subgraphs, too, or by the shapes of its outputs."""
    nodes = ir.traversal.RecursiveGraphIterator(graph)
    if any(node.domain in ("", "ai.onnx") and node.op_type in REGIONS | {SUPPRESSION} for node in nodes):
        return True
    ranks = [len(v.shape) for v in graph.outputs if v.dtype == ir.DataType.FLOAT and v.shape is not None]
    return 3 in ranks and 4 in ranks


def detector_of(graph: ir.Graph) -> Detector | None:
    """The parts of the main graph; None where it does not detect. Needs inferred shapes."""
    if not detects(graph):
        return None
    products = {node for node in graph if node.domain in ("", "ai.onnx") and node.op_type in PRODUCTS}
    decoding = {node for node in products if _expects(node) or _turns_boxes(node)}
    decoding -= _leading_to(graph, products - decoding)
    chosen = _of_chosen(graph, products - decoding)
    learned = products - decoding - (chosen - _leading_to(graph, products - decoding - chosen))
    leading = _leading_to(graph, learned)
    logic = (node for node in graph if node not in learned and node not in leading)
    return Detector(frozenset(learned), frozenset(learned - leading), frozenset(logic))


def _leading_to(graph: ir.Graph, products: set[ir.Node]) -> set[ir.Node]:
    """The nodes of whose values any of the products is computed."""
    found: set[ir.Node] = set()
    for node in reversed(list(graph)):
        uses = [use for output in node.outputs if _is_float(output) for use in output.uses()]
        if any(_carries(user, index) and (user in products or user in found) for user, index in uses):
            found.add(node)
    return found


def behind(graph: ir.Graph, op_types: frozenset[str]) -> frozenset[ir.Node]:
    """The nodes of such types, and all that depend on them: by values, positions or sizes."""
    found: set[ir.Node] = set()
    for node in graph:
        if node.op_type in op_types or any(v is not None and v.producer() in found for v in node.inputs):
            found.add(node)
    return frozenset(found)


def source_of(value: ir.Value | None) -> ir.Node | None:
    """The node that makes the value's elements, through movements of them; None for an input or a constant."""
    maker = None if value is None else value.producer()
    while maker is not None and maker.op_type in MOVEMENTS | {"Identity"} and maker.inputs:
        value = maker.inputs[0]
        maker = None if value is None else value.producer()
    return maker


def _carries(user: ir.Node, index: int) -> bool:
    """Whether the values of this input are in the node's float outputs, rather than where or which they are."""
    if user.op_type == SUPPRESSION:
        return False
    return index == 0 or user.op_type not in REGIONS | MOVEMENTS | {"Resize"}


def _is_float(value: ir.Value) -> bool:
    return value.dtype in (None, ir.DataType.FLOAT)


def _is_constant(value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None


def _expects(node: ir.Node) -> bool:
    """Whether the product is the mean of a distribution over bins, as boxes are decoded from.

    Source: Li et al., "Generalized Focal Loss", arXiv:2006.04388: Σ i·softmax(x)_i.
    """
    maker = source_of(node.inputs[0])
    if maker is None or maker.op_type != "Softmax" or not _is_constant(node.inputs[1]):
        return False
    made = static_shape(node.inputs[1]) or ()
    turned = node.attributes.get_int("transB", 0) != 0
    outputs = made[:1] if node.op_type == "Conv" or turned else made[1:2]
    return outputs in ((1,), ())


def _turns_boxes(node: ir.Node) -> bool:
    """Whether it multiplies boxes by a matrix that is constant: a change of coordinates."""
    return (
        node.op_type in ("Gemm", "MatMul")
        and _is_constant(node.inputs[1])
        and static_shape(node.inputs[1]) == _BOX_MATRIX
    )


def _of_chosen(graph: ir.Graph, learned: set[ir.Node]) -> set[ir.Node]:
    """The products of two activations that read chosen instances, with no learned product between."""
    found: set[ir.Node] = set()
    for node in graph:
        read = [value.producer() for value in node.inputs if value is not None]
        chosen = any(maker in found and (maker not in learned or _is_dynamic(maker)) for maker in read if maker)
        if node.op_type in CHOOSING or chosen:
            found.add(node)
    return {node for node in found & learned if _is_dynamic(node)}


def _is_dynamic(node: ir.Node) -> bool:
    return not any(_is_constant(value) for value in node.inputs[1:2])
