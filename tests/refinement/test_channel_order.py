"""Ordering: any order that the blocks allow leaves the network as it is, and the chosen one loses fewer bits."""

from itertools import pairwise, permutations
from unittest import mock

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from quantseg import graph
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph import expose
from quantseg.graph.preparation import Prepared, prepare
from quantseg.quantization.pairs import LEAST, MOST, excess, safe_scale
from quantseg.quantization.plan.weights import pair_rows
from quantseg.refinement import channel_order as ordering
from quantseg.refinement.channel_order import Reordered, lost, reorder
from quantseg.refinement.channel_order.pairing import Rows, improved, pair_costs
from quantseg.refinement.channel_order.search import RowReader, bits, ordered
from tests.refinement.test_equalisation import MODELS, ONE, TWO, WHOLE, Drawn, _one, _two, _whole, raw
from tests.support import graphs
from tests.support.quantised import Array, noise


def shuffled(prepared: Prepared, seed: int) -> Reordered | None:
    """With every block in another order, drawn at random, instead of the best one."""
    random = np.random.default_rng(seed)

    def anything(readers: object, blocks: tuple[Array, ...]) -> tuple[Array, ...]:
        drawn = [random.permutation(len(block)) for block in blocks]
        return tuple(np.roll(one, int((one == np.arange(len(one))).all())) for one in drawn)

    with mock.patch("quantseg.refinement.channel_order.ordered", anything):
        return reorder(prepared)


def assert_equal(prepared: Prepared, done: Reordered, feed: dict[str, Array]) -> None:
    """Equal outputs by onnxruntime, and every tensor within has its channels where the orders say."""
    given_outputs = [str(value.name) for value in prepared.model.graph.outputs]
    made = [output for node in prepared.model.graph for output in node.outputs if output.dtype == ir.DataType.FLOAT]
    names = [str(value.name) for value in made if value.name]
    assert names == [
        str(output.name)
        for node in done.prepared.model.graph
        for output in node.outputs
        if output.dtype == ir.DataType.FLOAT and output.name
    ]
    assert [node.name for node in prepared.model.graph] == [node.name for node in done.prepared.model.graph]
    assert not set(given_outputs) & set(done.orders)
    before = dict(zip(names, graphs.run(expose(prepared.model, names), feed), strict=True))
    after = dict(zip(names, graphs.run(expose(done.prepared.model, names), feed), strict=True))
    for name in names:
        order = done.orders.get(name)
        expected = before[name] if order is None else np.take(before[name], order.places, axis=order.axis)
        graphs.assert_same([after[name]], [expected], 1e-4)
    graphs.assert_same(graphs.run(done.prepared.model, feed), graphs.run(prepared.model, feed), 1e-4)


MORE_ONE = {
    "Sigmoid": "Sigmoid({x})",
    "HardSigmoid": "HardSigmoid({x})",
    "Tanh": "Tanh({x})",
    "Max": "Max({x}, {vector}, {one})",
    "Pow": "Pow({x}, {six})",
    "Softmax": "Softmax <axis = 1> ({x})",
    "ArgMax": "ArgMax <axis = 1> ({x})",
    "ReduceMean over channels": "ReduceMean <axes = [1]> ({x})",
    "ReduceMean": "ReduceMean <axes = [2], keepdims = 1> ({x})",
    "flat ReduceMean": "ReduceMean <axes = [3], keepdims = 0> ({x})",
    "BatchNormalization": "BatchNormalization({x}, {scale}, {shift}, {shift}, {scale})",
    "InstanceNormalization": "InstanceNormalization({x}, {scale}, {shift})",
    "LRN": "LRN <size = 3> ({x})",
    "PRelu over pixels": "PRelu({x}, {image})",
    "Add of rows": "Add({x}, {whole})",
    "CumSum": "CumSum({x}, {axis})",
}
"""Operators beside those of equalisation's tests."""
MORE = ("NHWC", "shuffle", "pixels beside channels", "SpaceToDepth", "grouped", "multiplier", "inverted", "squeeze",
        "indices", "rows", "Gemm", "twice", "interleaved", "strided twice", "Shape", "Split of pixels",
        "rolled")  # fmt: skip


def more(net: Drawn, op: str, x: str, channels: int, side: int) -> None:
    """Puts one of these operators behind a tensor."""

    def ints(*numbers: int) -> str:
        return net.constant(np.array(numbers, np.int64))

    def line(text: str) -> str:
        net.lines.append(f"l{len(net.lines)} = {text}")
        return f"l{len(net.lines) - 1}"

    if op == "NHWC":
        rows = line(f"Transpose <perm = [0,2,3,1]> ({x})")
        rows = line(f"Mul({rows}, {net.constant(net.noise(channels) + np.float32(2))})")
        rows = line(f"Concat <axis = -1> ({rows}, {rows})")
        rows = line(f"Slice({rows}, {ints(1)}, {ints(1 + channels)}, {ints(3)})")
        net.node(f"Transpose <perm = [0,3,1,2]> ({rows})", channels, side)
    elif op == "shuffle":
        apart = line(f"Reshape({x}, {ints(1, 2, channels // 2, side, side)})")
        apart = line(f"Transpose <perm = [0,2,1,3,4]> ({apart})")
        net.node(f"Reshape({apart}, {ints(1, channels, side, side)})", channels, side)
    elif op == "pixels beside channels":
        rows = line(f"Transpose <perm = [0,2,3,1]> ({x})")
        rows = line(f"Reshape({rows}, {ints(1, side, side // 2, 2 * channels)})")
        left, right = f"a{len(net.lines)}", f"b{len(net.lines)}"
        net.lines.append(f"{left}, {right} = Split <axis = 3> ({rows}, {ints(channels, channels)})")
        mask = line(f"Greater({left}, {right})")
        rows = line(f"Where({mask}, {right}, {left})")
        rows = line(f"Concat <axis = 3> ({rows}, {left})")
        rows = line(f"Reshape({rows}, {ints(1, side, side, channels)})")
        net.node(f"Transpose <perm = [0,3,1,2]> ({rows})", channels, side)
    elif op == "SpaceToDepth":
        net.node(f"SpaceToDepth <blocksize = 2> ({x})", 4 * channels, side // 2)
    elif op == "grouped":
        net.conv(net.conv(x, channels, side, 8, 2), 8, side, 8, 4)
    elif op == "multiplier":
        net.conv(x, channels, side, 2 * channels, channels)
    elif op == "inverted":
        net.node(f"Clip({net.conv(x, channels, side, 8)}, {net.constant(np.float32(0))})", 8, side)
        narrow = net.conv(net.conv(net.tensors[-1][0], 8, side, 8, 8), 8, side, channels)
        net.node(f"Add({narrow}, {x})", channels, side)
    elif op == "squeeze":
        flat = line(f"Flatten({line(f'GlobalAveragePool({x})')})")
        w, b = net.constant(net.noise(channels, 6)), net.constant(net.noise(6))
        flat = line(f"Relu({line(f'Gemm({flat}, {w}, {b})')})")
        flat = line(f"MatMul({flat}, {net.constant(net.noise(6, channels))})")
        gate = line(f"Sigmoid({line(f'Reshape({flat}, {ints(1, channels, 1, 1)})')})")
        net.node(f"Mul({gate}, {x})", channels, side)
    elif op == "indices":
        net.lines.append(
            f"v{len(net.lines)}, i{len(net.lines)} = MaxPool <kernel_shape = [2,2], strides = [2,2]> ({x})"
        )
        number = len(net.lines) - 1
        net.node(f"MaxUnpool <kernel_shape = [2,2], strides = [2,2]> (v{number}, i{number})", channels, side)
    elif op == "rows":
        flat = line(f"Reshape({x}, {ints(1, channels, side * side)})")
        flat = line(f"Transpose <perm = [0,2,1]> ({flat})")
        flat = line(f"Relu({line(f'MatMul({flat}, {net.constant(net.noise(channels, 8))})')})")
        flat = line(f"MatMul({flat}, {net.constant(net.noise(8, channels))})")
        flat = line(f"Add({flat}, {net.constant(net.noise(channels))})")
        flat = line(f"Transpose <perm = [0,2,1]> ({flat})")
        net.node(f"Reshape({flat}, {ints(1, channels, side, side)})", channels, side)
    elif op == "Gemm":
        flat = line(f"Flatten({x})")
        flat = line(f"MatMul({flat}, {net.constant(net.noise(channels * side * side, 4 * 36))})")
        net.node(f"Reshape({flat}, {ints(1, 4, 6, 6)})", 4, 6)
    elif op == "twice":
        y = net.conv(x, channels, side, channels)
        total = line(f"Add({x}, {y})")
        both = line(f"Concat <axis = 1> ({x}, {y}, {total})")
        net.node(f"Relu({both})", 3 * channels, side)
    elif op == "interleaved":
        y = line(f"Relu({x})")
        net.node(
            f"Gather <axis = 1> ({line(f'Concat <axis = 1> ({x}, {y})')}, {ints(0, channels, 1, channels + 1)})",
            4,
            side,
        )
    elif op == "strided twice":
        y = net.conv(x, channels, side, channels)
        net.node(f"Add({x}, {y})", channels, side)
        both = line(f"Concat <axis = 1> ({x}, {y})")
        net.node(f"Slice({both}, {ints(0)}, {ints(1 << 40)}, {ints(1)}, {ints(channels + 1)})", 2, side)
    elif op == "Shape":
        net.node(f"Expand({x}, {line(f'Shape({x})')})", channels, side)
    elif op == "Split of pixels":
        left, right = f"a{len(net.lines)}", f"b{len(net.lines)}"
        net.lines.append(f"{left}, {right} = Split <axis = 2> ({x}, {ints(1, side - 1)})")
        net.node(f"Concat <axis = 2> ({right}, {left})", channels, side)
    elif op == "rolled":
        places = ints(*np.roll(np.arange(channels), 1))
        net.node(f"Add({x}, {line(f'Gather <axis = 1> ({x}, {places})')})", channels, side)


def put(net: Drawn, op: str, other: tuple[str, int, int]) -> None:
    """Any of all operators, behind the last tensor."""
    x, channels, side = net.tensors[-1]
    if op in TWO:
        _two(net, op, net.tensors[-1], other)
    elif op in MORE:
        more(net, op, x, channels, side)
    elif op in MORE_ONE and op not in ONE:
        values = {
            "vector": net.noise(1, channels, 1, 1),
            "one": np.float32(1),
            "six": np.float32(2),
            "scale": np.abs(net.noise(channels)) + np.float32(0.5),
            "shift": np.abs(net.noise(channels)),
            "image": net.noise(side, side),
            "whole": net.noise(1, channels, side, side),
            "axis": np.array(1, np.int64),
        }
        words = {name: net.constant(np.asarray(v)) for name, v in values.items() if f"{{{name}}}" in MORE_ONE[op]}
        text = MORE_ONE[op].format(x=x, **words)
        if op == "ArgMax":
            net.lines.append(f"i{len(net.lines)} = {text}")
            net.node(f"Cast <to = 1> (i{len(net.lines) - 1})", 1, side)
        elif op == "ReduceMean over channels":
            net.node(text, 1, side)
        elif op == "ReduceMean":
            net.node(f"Add({x}, r{len(net.lines)})", channels, side)
            net.lines.insert(-1, f"r{len(net.lines) - 1} = {text}")
        elif op == "flat ReduceMean":
            net.lines.append(f"r{len(net.lines)} = {text}")
            shape = net.constant(np.array([1, channels, side, 1], np.int64))
            net.lines.append(f"r{len(net.lines)} = Reshape(r{len(net.lines) - 1}, {shape})")
            net.node(f"Add({x}, r{len(net.lines) - 1})", channels, side)
        else:
            net.node(text, channels, side)
    elif op in ONE:
        _one(net, op, x, channels, side)
        if op == "Equal":
            del net.tensors[-2]  # no numbers
    else:
        _whole(net, op, x, channels, side)


EVERY = tuple(dict.fromkeys((*ONE, *MORE_ONE, *WHOLE, *MORE, *TWO)))


def network(net: Drawn) -> ir.Model:
    """The drawn tensors' last one, read by a convolution whose channels are the graph's."""
    name, channels, side = net.tensors[-1]
    net.conv(name, channels, side, 3)
    body = "\n".join([*net.lines, f"y = Identity({net.tensors[-1][0]})"])
    return graphs.graph(body, x="float[1,4,6,6]", **net.weights)


STEEP = frozenset({"LRN", "ArgMax", "InstanceNormalization", "Softmax", "Sigmoid", "HardSigmoid", "Tanh", "Pow", "gate",
                   "squeeze", "If"})  # fmt: skip
"""What turns the rounding error of a sum of large numbers into a large part of a small one: these come first."""


@st.composite
def networks(draw: st.DrawFn) -> ir.Model:
    """Some of all operators, with convolutions of any width between."""
    net = Drawn(draw(st.integers(0, 1000)))
    net.conv("x", 4, 6, 8)
    steady = st.lists(st.sampled_from([op for op in EVERY if op not in STEEP]), max_size=3)
    for op in (draw(st.sampled_from(EVERY)), *draw(steady)):
        name, channels, side = net.tensors[-1]
        if channels % 4 or side < 4:  # what these operators take
            break
        put(net, op, draw(st.sampled_from(net.tensors)))
        name, channels, side = net.tensors[-1]
        if draw(st.booleans()):
            net.conv(name, channels, side, draw(st.sampled_from([4, 8, 12])))
    return network(net)


@pytest.mark.slow
@settings(max_examples=200)
@given(networks(), st.booleans(), st.integers(0, 100))
def test_any_order_that_is_allowed_leaves_the_network_as_it_is(model, lowered, seed):
    prepared = prepare(model) if lowered else raw(model)
    done = shuffled(prepared, seed)
    if done is not None:
        assert_equal(prepared, done, {"x": noise(1, 4, 6, 6, seed=1)})


PINNING = {"Softmax", "ArgMax", "ReduceMean over channels", "LRN", "CumSum", "shuffle", "multiplier", "indices", "Gemm",
           "CRD", "Slice backwards", "Gather", "interleaved", "strided twice", "rolled", "If", "ConvTranspose",
           "ReduceMax", "Pad", "flat ReduceMean", "NHWC", "Equal", "Slice", "Split"}  # fmt: skip
"""After these the first convolution's channels may stay where they are; after all others some must be free to move."""


@pytest.mark.parametrize("op", EVERY)
def test_each_operator_lets_channels_move_or_pins_them(op):
    net = Drawn(5)
    net.conv("x", 4, 6, 8)
    first = net.tensors[-1][0]
    if op in TWO:
        net.conv(first, 8, 6, 8)
    put(net, op, net.tensors[1])
    prepared = raw(network(net))
    done = shuffled(prepared, 2)
    if op not in PINNING:
        assert done is not None
        assert first in done.orders
    if done is not None:
        assert_equal(prepared, done, {"x": noise(1, 4, 6, 6)})


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MODELS])
def test_real_models_stay_equal_and_lose_fewer_bits(name):
    prepared = prepare(graph.load(MODELS[name]))
    (image,) = prepared.model.graph.inputs
    shape = [size if isinstance(size, int) else 64 if axis > 1 else 1 for axis, size in enumerate(image.shape)]
    feed = {str(image.name): noise(*shape)}
    done, any_order = reorder(prepared), shuffled(prepared, 3)
    assert done is not None
    assert any_order is not None
    for one in (done, any_order):
        graphs.assert_same(graphs.run(one.prepared.model, feed), graphs.run(prepared.model, feed), 1e-4)
    assert done.after.mean < 0.75 * done.before.mean


@pytest.mark.slow
def test_the_zoo_loses_a_fifth_of_a_bit_at_most():
    """Every third model of it, for the sake of time."""
    done = [reorder(prepare(graph.load(path))) for path in list(reference_models().values())[::3]]
    assert np.mean([one.after.mean for one in done if one is not None]) < 0.2


# The search.


def drawn_steps(random: np.random.Generator, *shape: int) -> Array:
    """Weights in steps of the grid that holds the largest of each row."""
    weights = random.normal(size=shape)
    return (weights / np.abs(weights).max(axis=(1, 2), keepdims=True) * 127).astype(np.float32)


def matchings(channels: tuple[int, ...]):
    """All perfect matchings."""
    if not channels:
        yield []
        return
    first, *rest = channels
    for other in rest:
        for tail in matchings(tuple(one for one in rest if one != other)):
            yield [(first, other), *tail]


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([(4, 1), (6, 1), (6, 3), (8, 2)]))
def test_no_exchange_of_partners_makes_the_found_matching_better(seed, size):
    """The cost written anew; and never is the found matching worse than the one it began with."""
    channels, taps = size
    steps = drawn_steps(np.random.default_rng(seed), 5, channels, taps)
    begun = np.arange(channels).reshape(-1, 2)

    def cost(pairs) -> float:
        total = 0.0
        for row in steps.astype(np.float64):
            worst = [1.0]
            for a, b in pairs:
                above, below = np.maximum(row[[a, b]], 0).sum(axis=0), np.minimum(row[[a, b]], 0).sum(axis=0)
                worst.append(max((above / MOST).max(), (below / LEAST).max()))
            total += np.sum(np.array(worst) ** 16) ** (1 / 16)
        return total

    found = improved(pair_costs([[Rows.of(steps)]]), np.zeros(5, np.float32), begun)
    assert sorted(found.reshape(-1)) == list(range(channels))
    assert cost(found) <= cost(begun) + 1e-4
    for i in range(len(found)):
        for j in range(i):
            (a, b), (c, d) = found[i], found[j]
            others = [pair for k, pair in enumerate(found) if k not in (i, j)]
            for swapped in ([(a, c), (b, d)], [(a, d), (b, c)]):
                assert cost([*others, *swapped]) >= cost(found) - 3e-4
    assert min(cost(one) for one in matchings(tuple(range(channels)))) <= cost(found) + 1e-4


@st.composite
def readers_of_blocks(draw: st.DrawFn) -> tuple[list[RowReader], list[Array]]:
    """Products that read a few blocks side by side, at even and odd places, of even and odd lengths, in groups."""
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = draw(st.lists(st.integers(2, 7), min_size=1, max_size=3))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    blocks = [np.arange(a, b) for a, b in pairwise(starts)]
    readers = []
    for _ in range(draw(st.integers(1, 3))):
        parts = draw(st.lists(st.sampled_from(range(len(blocks))), min_size=1, max_size=3))
        fixed = draw(st.integers(0, 2))  # channels of no block before them
        read = np.concatenate([1000 + np.arange(fixed), *(blocks[part] for part in parts)]).astype(np.int64)
        groups = draw(st.sampled_from([1, 2]))
        steps = drawn_steps(random, 4 * groups, len(read), draw(st.sampled_from([1, 3])))
        readers.append(RowReader(steps, groups, np.tile(read, groups)))
    return readers, blocks


@settings(max_examples=60, deadline=None)
@given(readers_of_blocks())
def test_no_order_loses_more_bits_and_each_is_one_of_its_block(problem):
    readers, blocks = problem
    orders = ordered(readers, blocks)
    moves = np.zeros(2000, np.int64)
    for block, order in zip(blocks, orders, strict=True):
        assert sorted(order) == list(range(len(block)))
        moves[block] = order - np.arange(len(block))
    before = after = 0.0
    for reader in readers:
        within, rows = reader.steps.shape[1], len(reader.steps) // reader.groups
        places = np.arange(within) + moves[reader.read[:within]]
        before += bits(reader.steps).sum()
        after += bits(reader.steps[:, places]).sum()
        assert rows == 4
    assert after <= before + 1e-6
    assert all(np.array_equal(a, b) for a, b in zip(orders, ordered(readers, blocks), strict=True))


def test_four_channels_find_the_one_order_without_loss():
    """Two heavy ones and two light ones: the heavy must not meet."""
    steps = np.array([[[127.0], [120.0], [1.0], [-3.0]]], np.float32)
    (order,) = ordered([RowReader(steps, 1, np.arange(4))], [np.arange(4)])
    assert bits(steps)[0] > 0.9
    assert not bits(steps[:, order]).any()


def test_an_odd_place_has_a_neighbour_outside_the_block():
    """A channel that cannot move comes first; only the lightest of the block may stand beside it, heavy ones apart."""
    steps = np.array([[[127.0], [100.0], [0.5], [90.0]]], np.float32)
    readers = [RowReader(steps, 1, np.array([9, 0, 1, 2]))]
    best = min(bits(steps[:, [0, *(1 + np.array(p))]])[0] for p in permutations(range(3)))
    (order,) = ordered(readers, [np.arange(3)])
    assert bits(steps[:, [0, *(1 + order)]])[0] == pytest.approx(best)
    assert best < bits(steps)[0]


def test_without_work_to_spend_nothing_moves():
    steps = np.array([[[127.0], [120.0], [1.0], [-3.0]]], np.float32)
    (order,) = ordered([RowReader(steps, 1, np.arange(4))], [np.arange(4)], work=0)
    assert list(order) == [0, 1, 2, 3]


# What is reordered.


def two_layers(seed: int = 0) -> Prepared:
    w, v = noise(8, 2, 1, 1, seed=seed), np.abs(noise(6, 8, 3, 3, seed=seed + 1))
    return prepare(graphs.graph("a = Conv(x, w)\n r = Relu(a)\n y = Conv(r, v)", w=w, v=v))


def test_bits_lost_are_those_of_the_scale_that_is_safe():
    prepared = two_layers()
    rows = {
        str(n.name): pair_rows(n, n.inputs[1].const_value.numpy()) for n in prepared.model.graph if len(n.inputs) > 1
    }
    for name, values in lost(prepared).of.items():
        scale = np.abs(rows[name]).max(axis=(1, 2)) / np.float32(127)
        assert np.allclose(values, np.log2(safe_scale(rows[name], scale) / scale), atol=0.02)
        assert np.allclose(2**values, np.maximum(excess(rows[name] / scale[:, None, None]), 1), rtol=1e-5)


def test_the_given_model_does_not_change_and_the_same_input_gives_the_same_bytes():
    prepared = two_layers()
    before = graph.to_bytes(prepared.model)
    once, again = reorder(prepared), reorder(prepared)
    assert once is not None
    assert again is not None
    assert graph.to_bytes(once.prepared.model) == graph.to_bytes(again.prepared.model)
    assert graph.to_bytes(prepared.model) == before
    assert set(once.prepared.model.graph.initializers) == set(prepared.model.graph.initializers)
    assert once.after.mean < once.before.mean


def test_a_product_that_stays_float_asks_for_no_order():
    prepared = two_layers()
    names = {str(node.name): "wanted" for node in prepared.model.graph if node.op_type == "Conv"}
    assert reorder(prepared, names) is None


@pytest.mark.parametrize("value", [0.0, 1e-45, 1e38])
def test_weights_of_any_size_are_taken(value):
    w, v = noise(4, 2, 1, 1), np.full((3, 4, 1, 1), value, np.float32)
    done = reorder(prepare(graphs.graph("a = Conv(x, w)\n r = Relu(a)\n y = Conv(r, v)", w=w, v=v)))
    assert done is None or np.isfinite(done.after.mean)


def test_the_module_names_what_it_gives():
    assert {"Lost", "Order", "Reordered", "lost", "reorder"} == set(ordering.__all__)
