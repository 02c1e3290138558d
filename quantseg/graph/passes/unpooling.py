"""MaxUnpool with the indices of a MaxPool becomes masks: Equal, Where and movements, which have integer kernels.

Where windows do not overlap, let x_k be the pooled input x at offset k of every window; it has the shape of the
maxima p. With v, the values to unpool:
    m_k = (x_k = p)                     the maximum is at offset k, or an equal one is at an earlier offset
    y_k = v if m_k and no m_j with j < k, else 0
Ties go to the first offset, row by row, as MaxPool's indices do. NaN is not considered. In NHWC tensors x_k is read
and y_k written by copying whole pixels, which is several times faster than MaxPool with indices, ScatterElements or
DepthToSpace.
Source: ONNX's operator documentation, MaxPool and MaxUnpool; the masks are derived here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.graph.edit import constant, initializer, input_at, ints, owner, replace
from quantseg.graph.passes.outcome import Change, Refusal, RewriteOutcome, outcome_of

_CHANNELS_LAST, _CHANNELS_FIRST = (0, 2, 3, 1), (0, 3, 1, 2)


def lower_unpooling(model: ir.Model) -> RewriteOutcome:
    """Lowers each MaxUnpool of the main graph with its MaxPool, or says why not. Needs inferred shapes."""
    notes: list[Change | Refusal] = []
    masks: dict[ir.Node, _Masks] = {}
    for node in list(model.graph):
        if node.op_type != "MaxUnpool" or node.domain != "":
            continue
        pool = _pool(node)
        reason = "its indices are not those of a MaxPool" if pool is None else _obstacle(pool, node)
        if pool is None or reason:
            notes.append(Refusal("lower_unpooling", str(node.name), reason))
            if pool is not None:
                notes.append(Refusal("lower_unpooling", str(pool.name), f"for {node.name}: {reason}"))
            continue
        if pool not in masks:
            masks[pool] = _written_masks(pool)
        notes.append(Change("lower_unpooling", str(node.name), f"selects by where {pool.name} found its maxima"))
        _select(node, masks[pool])
    for pool in masks:
        if not (pool.outputs[1].uses() or pool.outputs[1].is_graph_output()):
            replace(pool, [ir.node("MaxPool", pool.inputs, pool.attributes, name=pool.name)])
    return outcome_of(*notes)


def _pool(unpool: ir.Node) -> ir.Node | None:
    indices = input_at(unpool, 1)
    pool = indices.producer() if indices is not None else None
    found = pool is not None and pool.op_type == "MaxPool" and pool.domain == "" and pool.graph is unpool.graph
    return pool if found else None


def _obstacle(pool: ir.Node, unpool: ir.Node) -> str:
    """Why the pair cannot be lowered; "" where it can."""
    window, sizes = _window(pool), _sizes(pool.inputs[0])
    if len(window) != 2:
        return f"only two spatial axes are lowered, it has {len(window)}"
    if window != _ints(pool, "strides", (1, 1)) or any(step != 1 for step in _ints(pool, "dilations", (1, 1))):
        return "the windows of its MaxPool overlap or leave gaps"
    if any(_ints(pool, "pads", (0,))) or _text(pool, "auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return "its MaxPool pads the image"
    if pool.attributes.get_int("storage_order", 0):
        return "its MaxPool counts indices by columns"
    if sizes is None:
        return "the height, width or channels of what is pooled are dynamic; export with fixed ones"
    if any(size % step for size, step in zip(sizes[1:], window, strict=True)):
        return f"windows of {window[0]}x{window[1]} do not divide {sizes[1]}x{sizes[2]} pixels"
    same = (_window(unpool), _ints(unpool, "strides", (1, 1))) == (window, window)
    if not same or any(_ints(unpool, "pads", (0,))):
        return "its windows are not those of its MaxPool"
    return "" if _restores(unpool, pool) else "it asks for another size than its MaxPool had"


def _restores(unpool: ir.Node, pool: ir.Node) -> bool:
    """Whether output_shape, if there is one, is the shape of the MaxPool's input."""
    asked, source = input_at(unpool, 2), pool.inputs[0]
    if asked is None:
        return True
    maker = asked.producer()
    if maker is not None and maker.op_type == "Shape" and maker.domain == "" and not maker.attributes:
        return maker.inputs[0] is source
    numbers = constant(asked)
    assert source is not None
    return numbers is not None and source.shape is not None and tuple(map(int, numbers)) == tuple(source.shape)


@dataclass(frozen=True)
class _Masks:
    """Where the maxima are. equal: m_k, an NHWC tensor, for each offset k of the window but the last.

    sizes: channels, height and width of the MaxPool's input.
    """

    equal: tuple[ir.Value, ...]
    window: tuple[int, int]
    sizes: tuple[int, int, int]


def _written_masks(pool: ir.Node) -> _Masks:
    """Inserts, after the MaxPool, the comparison of each offset of its windows with the maximum."""
    window, sizes = _window(pool), _sizes(pool.inputs[0])
    assert sizes is not None
    channels, height, width = sizes
    rows, columns = window
    graph, stem = owner(pool), str(pool.name)
    nodes: list[ir.Node] = []

    def add(op_type: str, inputs: Sequence[ir.Value | None], what: str, outputs: int = 1, **attributes: object) -> None:
        nodes.append(ir.node(op_type, inputs, attributes, num_outputs=outputs, name=f"{stem}_{what}"))  # type: ignore[arg-type]
        for number, value in enumerate(nodes[-1].outputs):
            value.name = f"{stem}_{what}_{number}"

    add("Transpose", [pool.outputs[0]], "maxima", perm=_CHANNELS_LAST)
    maxima = nodes[-1].outputs[0]
    add("Transpose", [pool.inputs[0]], "pixels", perm=_CHANNELS_LAST)
    high, wide = height // rows, width // columns
    apart = ints(graph, f"{stem}_rows_shape", [-1, high, rows, wide, columns * channels])
    add("Reshape", [nodes[-1].outputs[0], apart], "rows_apart")
    add("Split", [nodes[-1].outputs[0], ints(graph, f"{stem}_ones", [1] * rows)], "rows", rows, axis=2)
    line = ints(graph, f"{stem}_row_shape", [-1, high, wide, columns * channels])
    each = ints(graph, f"{stem}_channels", [channels] * columns)
    places: list[ir.Value] = []
    for number, row in enumerate(nodes[-1].outputs):
        add("Reshape", [row, line], f"row_{number}")
        add("Split", [nodes[-1].outputs[0], each], f"places_{number}", columns, axis=3)
        places += nodes[-1].outputs
    equal: list[ir.Value] = []
    for number, place in enumerate(places[:-1]):
        add("Equal", [place, maxima], f"mask_{number}")
        equal += nodes[-1].outputs
    graph.insert_after(pool, nodes)
    return _Masks(tuple(equal), (rows, columns), sizes)


def _select(unpool: ir.Node, masks: _Masks) -> None:
    """Replaces the MaxUnpool by selection with the masks."""
    graph, stem = owner(unpool), str(unpool.name)
    rows, columns = masks.window
    channels, height, width = masks.sizes
    zero = initializer(graph, f"{stem}_zero", np.zeros((), np.float32))
    first = ir.node("Transpose", [unpool.inputs[0]], {"perm": _CHANNELS_LAST}, name=f"{stem}_values")
    nodes, left, places = [first], first.outputs[0], []
    for number, mask in enumerate(masks.equal):
        here = ir.node("Where", [mask, left, zero], name=f"{stem}_place_{number}")
        others = ir.node("Where", [mask, zero, left], name=f"{stem}_after_{number}")
        nodes += [here, others]
        places.append(here.outputs[0])
        left = others.outputs[0]
    places.append(left)
    lines = []
    for row in range(rows):
        pixels = places[row * columns : (row + 1) * columns]
        nodes.append(ir.node("Concat", pixels, {"axis": 3}, name=f"{stem}_row_{row}"))
        lines.append(nodes[-1].outputs[0])
    nodes.append(ir.node("Concat", lines, {"axis": 2}, name=f"{stem}_rows"))
    shape = ints(graph, f"{stem}_shape", [-1, height, width, channels])
    nodes.append(ir.node("Reshape", [nodes[-1].outputs[0], shape], name=f"{stem}_pixels"))
    nodes.append(ir.node("Transpose", nodes[-1].outputs, {"perm": _CHANNELS_FIRST}, name=stem))
    replace(unpool, nodes)


def _window(node: ir.Node) -> tuple[int, ...]:
    return tuple(_ints(node, "kernel_shape", ()))


def _sizes(value: ir.Value | None) -> tuple[int, int, int] | None:
    """Channels, height and width; None where one is dynamic or the value does not have four axes."""
    dims = [] if value is None or value.shape is None else list(value.shape)
    known = [dim for dim in dims[1:] if isinstance(dim, int)]
    return (known[0], known[1], known[2]) if len(dims) == 4 and len(known) == 3 else None


def _ints(node: ir.Node, name: str, default: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(node.attributes[name].as_ints()) if name in node.attributes else default


def _text(node: ir.Node, name: str, default: str) -> str:
    return node.attributes[name].as_string() if name in node.attributes else default
