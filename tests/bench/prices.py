"""What a float node costs among int8 ones: the measurements behind the rates of mixed_precision/risk/price.py.

    python -m tests.bench.prices

Convolutions between other convolutions, as `quantize` writes them, all in int8 and with one part in float; and single
operators, float and uint8. One thread; the unit is the time of a multiply-accumulate of a dense float convolution.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from quantseg import api
from quantseg.mixed_precision.risk import price_of
from quantseg.quantization.plan import QuantSettings
from quantseg.refinement.options import Options
from quantseg.report import tables
from quantseg.runtimes import DEFAULT
from quantseg.runtimes.latency import Turns, benchmark
from tests.bench import writing

TURNS, THREADS = Turns(7, 12), 1
SIZES = ((8, 256), (16, 192), (32, 128), (64, 64), (128, 48), (256, 24))
"""Channels, and the height and width of their maps."""
CLASSES = 11
MICROSOFT = "com.microsoft"


@dataclass(frozen=True)
class Chain:
    """Convolutions in a row, with a ReLU behind each but the last.

    layers: name → (inputs, outputs, kernel). in_float: names of those that are left float.
    """

    layers: Mapping[str, tuple[int, int, int]]
    in_float: tuple[str, ...]

    def model(self, size: int) -> onnx.ModelProto:
        """The float model of images of that size."""
        random, nodes, weights, name = np.random.default_rng(0), [], [], "x"
        for layer, (inputs, outputs, kernel) in self.layers.items():
            spread = (2 / (inputs * kernel * kernel)) ** 0.5
            weight = spread * random.standard_normal((outputs, inputs, kernel, kernel))
            weights.append(numpy_helper.from_array(weight.astype(np.float32), f"{layer}_weight"))
            pads = [kernel // 2] * 4
            nodes.append(helper.make_node("Conv", [name, f"{layer}_weight"], [f"{layer}_out"], layer, pads=pads))
            name = f"{layer}_out"
            if layer != [*self.layers][-1]:
                nodes.append(helper.make_node("Relu", [name], [f"{layer}_relu"], f"{layer}_relu"))
                name = f"{layer}_relu"
        ends = [("x", next(iter(self.layers.values()))[0]), (name, [*self.layers.values()][-1][1])]
        given, made = (
            [helper.make_tensor_value_info(end, onnx.TensorProto.FLOAT, [1, channels, size, size])]
            for end, channels in ends
        )
        graph = helper.make_graph(nodes, "chain", given, made, weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def chains(channels: int) -> dict[str, Chain]:
    """What is left float among convolutions of so many channels."""
    first, last = ("first", (3, channels, 3)), ("last", (channels, CLASSES, 1))
    middle = [(name, (channels, channels, 3)) for name in ("one", "two")]
    every = dict([first, *middle, last])
    return {name: Chain(every, floats) for name, floats in {
        "the first, of an image": ("first",), "the last, of classes": ("last",), "two in the middle": ("one", "two"),
    }.items()}  # fmt: skip


def extra(chain: Chain, size: int, folder: Path) -> tuple[float, float, float]:
    """The extra time as shares of the int8 model: by the rates, measured; and the float model's time over it."""
    model = chain.model(size)
    images = [np.random.default_rng(seed).random((1, 3, size, size), dtype=np.float32) for seed in range(2)]
    options = Options(effort="fast", threads=THREADS, calibrator="minmax")
    there = {node.name for node in model.graph.node}
    exclude = tuple(name for part in chain.in_float for name in (part, f"{part}_relu") if name in there)
    whole = api.quantize(model, images, options=options)
    parts = api.quantize(model, images, options=replace(options, settings=QuantSettings(exclude=exclude)))
    onnx.save(model, folder / "float.onnx")
    files = {
        "float": folder / "float.onnx",
        "int8": whole.save(folder / "i.onnx"),
        "parts": parts.save(folder / "p.onnx"),
    }
    feeds = {"x": images[0]}
    found = benchmark(files, dict.fromkeys(files, feeds), runtime=DEFAULT, threads=THREADS, turns=TURNS)
    times = {one.name: one.median_ms for one in found}
    price = price_of(whole.candidate.prepared, whole.plan, feeds)
    nodes = {str(node.name) for node in whole.candidate.prepared.model.graph} & {*exclude}
    return price.of_time(frozenset(nodes)), times["parts"] / times["int8"] - 1, times["float"] / times["int8"]


def operators() -> dict[str, tuple[Sequence[onnx.NodeProto], Sequence[onnx.NodeProto], float]]:
    """Operator → float nodes, uint8 nodes, and elements that they make for each one that they read."""
    node, scales = helper.make_node, "sz"
    pool, four = {"kernel_shape": [2, 2], "strides": [2, 2]}, ["x", "", "four"]

    def linear(name: str, *given: str, **attributes: Any) -> list[onnx.NodeProto]:
        return [node(name, [*given], ["y"], domain=MICROSOFT, **attributes)]

    def same(name: str, given: Sequence[str] = ("x",), **attributes: Any) -> list[list[onnx.NodeProto]]:
        return [[node(name, list(given), ["y"], **attributes)] for _ in range(2)]

    return {
        "Add": ([node("Add", ["x", "x"], ["y"])], linear("QLinearAdd", "x", *scales, "x", *scales, *scales), 1),
        "Mul": ([node("Mul", ["x", "x"], ["y"])], linear("QLinearMul", "x", *scales, "x", *scales, *scales), 1),
        "Sigmoid": ([node("Sigmoid", ["x"], ["y"])], linear("QLinearSigmoid", "x", *scales, *scales), 1),
        "Concat": (*same("Concat", ["x", "x"], axis=1), 2),
        "DepthToSpace": (*same("DepthToSpace", blocksize=2), 1),
        "Resize, nearest": (*same("Resize", four, mode="nearest"), 4),
        "Resize, linear": (*same("Resize", four, mode="linear"), 4),
        "MaxPool, 2x2": (*same("MaxPool", **pool), 0.25),
        "QuantizeLinear | DequantizeLinear": (
            [node("QuantizeLinear", ["x", *scales], ["y"])],
            [node("DequantizeLinear", ["x", *scales], ["y"])],
            1,
        ),
    }


def alone(nodes: Sequence[onnx.NodeProto], size: tuple[int, int], *, integers: bool) -> onnx.ModelProto:
    """A model of these nodes over maps of that size (channels, height and width)."""
    shape = [1, size[0], size[1], size[1]]
    kind, other = (onnx.TensorProto.UINT8, onnx.TensorProto.FLOAT)[:: 1 if integers else -1]
    turns = nodes[0].op_type in ("QuantizeLinear", "DequantizeLinear")
    constants = {"s": np.float32(0.02), "z": np.uint8(128), "four": np.array([1, 1, 2, 2], np.float32)}
    read = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        [*nodes],
        "operator",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", other if turns else kind, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items() if name in read],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def operator_rows(unit: float, folder: Path) -> Iterator[tables.Row]:
    """Units for each element made, float and uint8, at 16 and at 64 channels. unit: in milliseconds."""
    for name, (in_float, in_integers, share) in operators().items():
        found = list[float]()
        for size in (SIZES[1], SIZES[3]):
            made, random = size[0] * size[1] ** 2 * share, np.random.default_rng(0)
            pixels = random.standard_normal((1, size[0], size[1], size[1])).astype(np.float32)
            for integers, nodes in ((False, in_float), (True, in_integers)):
                path = folder / "operator.onnx"
                onnx.save(alone(nodes, size, integers=integers), path)
                feeds = {"x": (pixels * 50 + 128).clip(0, 255).astype(np.uint8) if integers else pixels}
                (timing,) = benchmark({name: path}, {name: feeds}, runtime=DEFAULT, threads=THREADS, turns=TURNS)
                found.append(timing.median_ms / unit / made)
        yield (name, *(round(value, 1) for value in found))


def unit_of(folder: Path) -> float:
    """Milliseconds of one multiply-accumulate in a dense float convolution, the median over SIZES from 16 channels."""
    paces = []
    for channels, size in SIZES[1:]:
        chain = Chain({"one": (channels, channels, 3), "two": (channels, channels, 3)}, ())
        onnx.save(chain.model(size), folder / "unit.onnx")
        (timing,) = benchmark({"unit": folder / "unit.onnx"}, runtime=DEFAULT, threads=THREADS, turns=TURNS)
        paces.append(timing.median_ms / (2 * 9 * channels**2 * size**2))
    return float(np.median(paces))


def main() -> None:
    """Measures and writes the report."""
    writing.parser(__doc__).parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        unit = unit_of(folder)
        rows = [
            (f"{name}, {channels} channels, {size}x{size}", *extra(chain, size, folder))
            for channels, size in SIZES
            for name, chain in chains(channels).items()
        ]
        single = list(operator_rows(unit, folder))
    parts = [
        (name, *(f"{100 * share:+.0f} %" for share in (rated, found)), f"{ratio:.2f}x")
        for name, rated, found, ratio in rows
    ]
    page = writing.Page(
        "What a float node costs among int8 ones",
        "Three convolutions of 3x3 and one of 1x1 in a row, in portable QDQ: time that is added where a part computes "
        "in float, by the rates of mixed_precision/risk/price.py and measured, as shares of the int8 model's time; and "
        "the int8 model's speed over float. Then operators alone: units for each element made. One thread, "
        f"{TURNS.rounds} alternating rounds of {TURNS.runs} runs; the unit is a multiply-accumulate in float, here "
        f"{1e6 * unit:.4f} ns.",
        {
            "Convolutions": (("in float", "by the rates", "measured", "int8 over float"), parts),
            "Operators": (("operator", "float, 16 channels", "uint8", "float, 64 channels", "uint8"), single),
        },
    )
    figures = {
        "unit_ns": 1e6 * unit,
        "convolutions": [list(row) for row in rows],
        "operators": [list(row) for row in single],
    }
    writing.write("prices", page, figures)


if __name__ == "__main__":
    main()
