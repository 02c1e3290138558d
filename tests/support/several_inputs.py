"""A small network of several inputs and two maps, its twin of one input, and data for both."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx_ir as ir
from PIL import Image

from quantseg import graph
from tests.support import graphs
from tests.support.graphs import Array
from tests.support.quantised import kernel, noise

SIZE = (12, 16)
CLASSES = 3
HEAD = '<ir_version: 8, opset_import: ["": 17]> g'
BODY = """c = Conv<pads=[1,1,1,1]>(j, w0, b0) r = Relu(c) d = Conv<pads=[1,1,1,1]>(r, w1, b1) s = Relu(d)
    e = Conv(s, w2)"""
"""From four channels j on; the head's scale comes last, so that it is read late."""
INPUTS = ("prior", "x", "scale")


def weights() -> dict[str, Array]:
    """Of BODY and of the second map."""
    return {
        "w0": kernel(8, 4, 3, 3, seed=1), "b0": noise(8, seed=2) / 10, "w1": kernel(8, 8, 3, 3, seed=3),
        "b1": noise(8, seed=4) / 10, "w2": kernel(CLASSES, 8, 1, 1, seed=5), "w3": kernel(CLASSES, 8, 1, 1, seed=6),
    }  # fmt: skip


def three_inputs(*, fixed: Mapping[str, Array] | None = None, open_sizes: bool = False) -> ir.Model:
    """y, aux = f(prior, x, scale): an image of three channels, a map of one, and one number that multiplies y.

    fixed: inputs that are initializers instead. open_sizes: height and width are not declared.
    """
    height, width = ("h", "w") if open_sizes else SIZE
    declared = {
        "prior": f"float[1,1,{height},{width}]", "x": f"float[1,3,{height},{width}]", "scale": "float[1]",
    }  # fmt: skip
    given = fixed or {}
    inputs = ", ".join(f"{kind} {name}" for name, kind in declared.items() if name not in given)
    outputs = f"float[1,{CLASSES},{height},{width}] y, float[1,{CLASSES},{height},{width}] aux"
    nodes = f"j = Concat<axis=1>(x, prior) {BODY} y = Mul(e, scale) aux = Conv(s, w3)"
    return graphs.parse(f"{HEAD} ({inputs}) => ({outputs}) {{ {nodes} }}", **weights(), **given)


def one_input() -> ir.Model:
    """The same function of the four channels, at a scale of one, without the second map."""
    made, sizes = weights(), ",".join(map(str, SIZE))
    del made["w3"]
    text = f"{HEAD} (float[1,4,{sizes}] j) => (float[1,{CLASSES},{sizes}] y) {{ {BODY} y = Identity(e) }}"
    return graphs.parse(text, **made)


def saved(model: ir.Model, path: Path) -> Path:
    """The model in a file."""
    path.write_bytes(graph.to_bytes(model))
    return path


def feeds(number: int) -> dict[str, Array]:
    """The inputs of an item, by name."""
    random = np.random.default_rng(number)
    return {
        "prior": random.random((1, 1, *SIZE), np.float32),
        "x": random.random((1, 3, *SIZE), np.float32),
        "scale": np.array([0.5 + number / 4], np.float32),
    }


def all_feeds(count: int = 4) -> Iterator[dict[str, Array]]:
    """The inputs of items."""
    return (feeds(number) for number in range(count))


def write_npz(folder: Path, count: int = 4, without: tuple[str, ...] = ()) -> Path:
    """Files that hold all inputs by name."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, arrays in enumerate(all_feeds(count)):
        np.savez(folder / f"{number}.npz", **{name: a for name, a in arrays.items() if name not in without})
    return folder


def write_images(folder: Path, count: int = 4) -> Path:
    """Images, which are x alone."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        pixels = np.random.default_rng(number).integers(0, 256, (*SIZE, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def tensor_of(path: Path) -> Array:
    """An image as the model takes it: RGB in 0…1, channels first."""
    pixels = np.asarray(Image.open(path), np.float32) * np.float32(1 / 255)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])
