"""Mutations of a network that leave a readable ONNX file: other operators, attributes, shapes, weights and wiring."""

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from tests.fuzz.mutation import odd

_KINDS = (
    np.float32, np.float32, np.float32, np.float16, np.float64, np.int64, np.int64, np.int32, np.int8, np.uint8,
    np.bool_,
)  # fmt: skip
_OPERATORS = sorted({schema.name for schema in onnx.defs.get_all_schemas() if schema.domain == ""})
_INSERTED = (
    "Identity", "Relu", "Neg", "Sigmoid", "Dropout", "Shape", "Size", "Transpose", "Softmax", "Tanh", "Not", "Sqrt",
    "Log", "Exp", "Erf", "Abs", "GlobalAveragePool", "Flatten", "Squeeze", "ReduceMean", "HardSwish", "IsNaN",
    "NonZero",
)  # fmt: skip
_GIVEN = {
    AttributeProto.INT: lambda random: odd.integer(random),
    AttributeProto.FLOAT: lambda random: max(min(odd.number(random), 3.4e38), -3.4e38),
    AttributeProto.STRING: lambda random: odd.text(random),
    AttributeProto.INTS: lambda random: [_axis(random) for _ in range(random.randrange(9))],
    AttributeProto.FLOATS: lambda random: [1.0] * random.randrange(6),
    AttributeProto.STRINGS: lambda random: [odd.text(random)] * random.randrange(3),
    AttributeProto.TENSOR: lambda random: numpy_helper.from_array(array(random), "t"),
    AttributeProto.GRAPH: lambda random: helper.make_graph([], "empty", [], []),
}


def mutate(random: Random, model: ModelProto) -> None:
    """Changes one to three things of the network."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        if model.graph.node:
            random.choice(_CHANGES)(random, model)


def array(random: Random) -> np.ndarray:
    """A small array of any type and rank; some are empty, some hold what is no number."""
    shape = tuple(random.choice((0, 1, 1, 2, 3, 4, 8, 8)) for _ in range(random.choice((0, 1, 1, 2, 3, 4, 4, 5))))
    kind = random.choice(_KINDS)
    values = np.random.default_rng(random.getrandbits(32)).normal(size=shape) * random.choice((1, 1, 100))
    if random.random() < 0.2:
        values = np.full(shape, odd.number(random))
    with np.errstate(all="ignore"):
        return np.nan_to_num(values).astype(kind) if np.dtype(kind).kind in "iu" else values.astype(kind)


def _axis(random: Random) -> int:
    return random.choice((0, 1, 1, 1, 2, 2, 3, -1)) if random.random() < 0.9 else odd.integer(random)


def _node(random: Random, model: ModelProto) -> NodeProto:
    return random.choice(model.graph.node)


def _names(model: ModelProto) -> list[str]:
    """Every tensor that some node reads or makes."""
    found = dict.fromkeys(name for node in model.graph.node for name in (*node.input, *node.output) if name)
    return list(found) or ["x"]


def _operator(random: Random, model: ModelProto) -> None:
    node = _node(random, model)
    node.op_type = random.choice(_OPERATORS)
    if random.random() < 0.7:
        del node.attribute[:]


def _attribute(random: Random, model: ModelProto) -> None:
    """An attribute of the operator: left out, or with a value of its type or of another."""
    node = _node(random, model)
    try:
        known = onnx.defs.get_schema(node.op_type, 21, node.domain).attributes
    except onnx.defs.SchemaError:
        known = {}
    name = random.choice([*sorted(known), *(each.name for each in node.attribute), "axis", "to", "value", "alpha"])
    kind = known[name].type.value if name in known and random.random() < 0.8 else random.choice(list(_GIVEN))
    kept = [each for each in node.attribute if each.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)
    if kind in _GIVEN and random.random() < 0.85:
        node.attribute.append(helper.make_attribute(name, _GIVEN[kind](random), attr_type=kind))


def _weight(random: Random, model: ModelProto) -> None:
    """A constant of another type, shape or content."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    with np.errstate(all="ignore"):
        new = random.choice(_OTHER_WEIGHTS)(random, numpy_helper.to_array(tensor))
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(new).reshape(new.shape), tensor.name))


_OTHER_WEIGHTS: tuple[Callable[[Random, np.ndarray], np.ndarray], ...] = (
    lambda random, old: array(random),
    lambda random, old: array(random),
    lambda random, old: old.astype(random.choice(_KINDS)),
    lambda random, old: old[..., None],
    lambda random, old: old.reshape(-1),
    lambda random, old: old.reshape(-1)[:1],
    lambda random, old: old.reshape(-1)[:0],
    lambda random, old: np.concatenate([old, old]) if old.ndim else old,
    lambda random, old: old * np.float32(1e30),
    lambda random, old: old.T,
    lambda random, old: -old if old.dtype.kind == "f" else old,
    lambda random, old: np.zeros_like(old),
    lambda random, old: np.full_like(old, odd.integer(random) % 100),
    lambda random, old: np.full(old.shape, odd.number(random)).astype(np.float32),
)


def _wire(random: Random, model: ModelProto) -> None:
    """An input of a node: another tensor, none, one more or one less."""
    node = _node(random, model)
    names, action = _names(model), random.choice(("other", "other", "none", "more", "less", "own", "swap"))
    if action == "more" or not node.input:
        node.input.append(random.choice([*names, ""]))
    elif action == "less":
        node.input.pop()
    elif action == "swap":
        node.input[:] = list(node.input)[::-1]
    else:
        chosen = {"none": "", "own": (*node.output, "x")[0]}.get(action, random.choice(names))
        node.input[random.randrange(len(node.input))] = chosen


def _makes(random: Random, model: ModelProto) -> None:
    """An output of a node: another name, none, one more or one less."""
    node = _node(random, model)
    action = random.choice(("more", "less", "empty", "same"))
    if action == "more" or not node.output:
        node.output.append(random.choice(("", "extra", random.choice(_names(model)))))
    elif action == "less":
        node.output.pop()
    else:
        index = random.randrange(len(node.output))
        node.output[index] = "" if action == "empty" else random.choice(_names(model))


def _interface(random: Random, model: ModelProto) -> None:
    """Inputs and outputs of the graph: other tensors, twice, none, more."""
    values = random.choice((model.graph.input, model.graph.output))
    initializers = [tensor.name for tensor in model.graph.initializer]
    name = random.choice([*_names(model), *initializers, "new", ""])
    action = random.choice(("rename", "add", "add", "delete", "double"))
    if action == "add" or not values:
        kind = random.choice((TensorProto.FLOAT, TensorProto.FLOAT, TensorProto.INT64, TensorProto.UINT8, 0))
        shape = random.choice((None, [], [1], ["N", 3, None, None], [1, 3, 12, 12], [1, 4, 12, 12]))
        values.append(helper.make_tensor_value_info(name, kind, shape))
    elif action == "rename":
        random.choice(values).name = name
    elif action == "delete":
        del values[random.randrange(len(values))]
    else:
        values.append(random.choice(values))


def _shape(random: Random, model: ModelProto) -> None:
    """What an input, an output or an inner tensor is said to be."""
    known = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    if not known or random.random() < 0.2:
        dims = [odd.size(random) for _ in range(random.randrange(6))]
        name, kind = random.choice(_names(model)), random.choice((1, 1, 7, 10, 11, 3))
        model.graph.value_info.append(helper.make_tensor_value_info(name, kind, dims))
        return
    tensor = random.choice(known).type.tensor_type
    action = random.choice(("size", "size", "open", "open", "all", "rank", "less", "kind", "none"))
    if action == "kind":
        tensor.elem_type = random.choice((0, 1, 2, 3, 6, 7, 8, 9, 10, 11, 14, 16, 17, 22, 99))
    elif action == "none":
        tensor.ClearField("shape")
    elif action == "rank" or not tensor.shape.dim:
        tensor.shape.dim.add().dim_value = odd.size(random)
    elif action == "less":
        del tensor.shape.dim[random.randrange(len(tensor.shape.dim))]
    else:
        chosen = tensor.shape.dim if action == "all" else [random.choice(tensor.shape.dim)]
        for dim in chosen:
            if action == "size":
                dim.dim_value = odd.size(random) if random.random() < 0.8 else -1
            else:
                dim.dim_param = random.choice(("N", "H", "", "N", "2*H", "batch size"))


def _versions(random: Random, model: ModelProto) -> None:
    """Opsets and versions: of another number, missing, double, of another domain."""
    action = random.choice(("number", "number", "drop", "add", "ir"))
    if action == "number" and model.opset_import:
        random.choice(model.opset_import).version = random.choice(
            (0, 6, 7, 8, 9, 10, 11, 12, 13, 17, 18, 19, 21, 23, 99)
        )
    elif action == "drop" and model.opset_import:
        model.opset_import.pop()
    elif action == "add":
        domain = random.choice(("", "ai.onnx", "ai.onnx.ml", "com.microsoft", "x"))
        model.opset_import.add(domain=domain, version=random.choice((1, 13, 18, 0, -1)))
    else:
        model.ir_version = random.choice((0, 1, 3, 4, 7, 8, 10, 99, -1))


def _insert(random: Random, model: ModelProto) -> None:
    """A node between two."""
    node = _node(random, model)
    if not node.input:
        return
    index, name = random.randrange(len(node.input)), f"inserted{random.randrange(1000)}"
    attributes = {"axis": 1} if random.random() < 0.1 else {}
    new = helper.make_node(random.choice(_INSERTED), [node.input[index]], [name], **attributes)
    if random.random() < 0.3:
        new = helper.make_node("Cast", [node.input[index]], [name], to=random.choice((1, 6, 7, 9, 10, 11, 16)))
    node.input[index] = name
    place = list(model.graph.node).index(node)
    model.graph.node.insert(place, new)


def _remove(random: Random, model: ModelProto) -> None:
    model.graph.node.remove(_node(random, model))


def _double(random: Random, model: ModelProto) -> None:
    """The same node once more, at the end."""
    node = NodeProto()
    node.CopyFrom(_node(random, model))
    if random.random() < 0.6:
        node.output[:] = [f"{name}_again" for name in node.output]
    model.graph.node.append(node)


def _called(random: Random, model: ModelProto) -> None:
    """Names of nodes and tensors: double, empty, or odd."""
    if random.random() < 0.4:
        _node(random, model).name = random.choice((odd.text(random), "", _node(random, model).name))
        return
    old, new = random.choice(_names(model)), random.choice((odd.text(random), f"{_names(model)[0]}_quantized"))
    for node in model.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer, *model.graph.value_info):
        value.name = new if value.name == old else value.name


def _stored(random: Random, model: ModelProto) -> None:
    """A constant as a Constant node, as an input of the graph besides, or twice."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    action = random.choice(("node", "node", "input", "only input", "twice"))
    if action in ("input", "only input"):
        model.graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    if action == "twice":
        model.graph.initializer.append(tensor)
    if action == "node":
        model.graph.node.insert(0, helper.make_node("Constant", [], [tensor.name], value=tensor))
    if action in ("node", "only input"):
        model.graph.initializer.remove(tensor)


def _nested(random: Random, model: ModelProto) -> None:
    """A node within an If, a Loop or a function of the model."""
    node = _node(random, model)
    index = list(model.graph.node).index(node)
    inner = NodeProto()
    inner.CopyFrom(node)
    outputs = [f"{name}_inner" for name in node.output]
    inner.output[:] = outputs
    infos = [helper.make_empty_tensor_value_info(name) for name in outputs]
    if random.random() < 0.5:
        branch = helper.make_graph([inner], "branch", [], infos)
        condition = numpy_helper.from_array(array(random) if random.random() < 0.3 else np.array(True), "condition")
        model.graph.initializer.append(condition)
        outer = helper.make_node("If", ["condition"], list(node.output), then_branch=branch, else_branch=branch)
    else:
        versions = [
            helper.make_opsetid(
                "", random.choice((13, 18, model.opset_import[0].version if model.opset_import else 13))
            )
        ]
        reads = list(dict.fromkeys(name for name in node.input if name))
        name = random.choice(("F", "Conv", node.op_type or "F"))
        model.functions.append(helper.make_function("local", name, reads, outputs, [inner], versions))
        model.opset_import.add(domain="local", version=1)
        model.ir_version = max(model.ir_version, 8)
        outer = helper.make_node(name, reads, list(node.output), domain="local")
    model.graph.node[index].CopyFrom(outer)


def _foreign(random: Random, model: ModelProto) -> None:
    """A node of another domain, with or without its opset."""
    domain = random.choice(("com.microsoft", "ai.onnx", "ai.onnx.ml", "nobody", "ai.onnx.training"))
    _node(random, model).domain = domain
    if random.random() < 0.7:
        model.opset_import.add(domain=domain, version=1)


def _metadata(random: Random, model: ModelProto) -> None:
    key = random.choice(("quantseg.recipe", "quantseg.recipe", odd.text(random)))
    model.metadata_props.add(
        key=key, value=random.choice((odd.text(random), "[input]\nmean = 1", "[output]\nname='x'"))
    )


Change = Callable[[Random, Any], None]
_CHANGES: tuple[Change, ...] = (
    _operator, _operator, _attribute, _attribute, _attribute, _weight, _weight, _weight, _wire, _wire, _makes,
    _interface, _shape, _shape, _versions, _insert, _remove, _double, _called, _stored, _nested, _foreign, _metadata,
)  # fmt: skip
