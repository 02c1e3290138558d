"""A small model whose BatchNormalization holds the statistics of its input, as training leaves them; and its images."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

SIZE, CLASSES, COUNT = 32, 4, 6


def scene(number: int, size: int = SIZE) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """An image (size, size, 3) of rectangles on a reddish ground, a colour for each class, and its mask."""
    rng = np.random.default_rng(number)
    colours = np.array([[200, 120, 60], [30, 40, 150], [240, 230, 90], [90, 200, 70]])
    mask = np.zeros((size, size), np.uint8)
    for kind in range(1, CLASSES):
        for _ in range(2):
            top, left = rng.integers(0, size - 8, 2)
            height, width = rng.integers(4, size // 2, 2)
            mask[top : top + height, left : left + width] = kind
    noise = rng.normal(0, 12, (size, size, 3))
    return np.clip(colours[mask] + noise, 0, 255).astype(np.uint8), mask


def write_scenes(folder: Path, count: int = COUNT, first: int = 0) -> Path:
    """images/ and masks/ of scenes in the folder."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for number in range(count):
        image, mask = scene(first + number)
        Image.fromarray(image).save(folder / f"images/{number:02d}.png")
        Image.fromarray(mask).save(folder / f"masks/{number:02d}.png")
    return folder


def prepared(channels: str, scale: float, mean: Any, std: Any) -> NDArray[np.float32]:
    """The scenes that the model is "trained" on as its input, (N, 3, H, W), by hand."""
    images = np.stack([scene(100 + number)[0] for number in range(8)]).astype(np.float64)
    ordered = images[..., ::-1] if channels == "BGR" else images
    return ((ordered * scale - np.asarray(mean)) / np.asarray(std)).transpose(0, 3, 1, 2).astype(np.float32)


def trained_on(inputs: NDArray[np.float32], *, size: int | None = SIZE, seed: int = 0) -> onnx.ModelProto:
    """x → 1x1 Conv, BatchNormalization with the moments of these inputs, Relu, 1x1 Conv of CLASSES: y.

    inputs: of `prepared`. The last convolution is fitted to the masks of these scenes. size: None leaves it open.
    """
    first = np.random.default_rng(seed).normal(size=(8, 3, 1, 1))
    hidden = np.einsum("oc,nchw->nohw", first[:, :, 0, 0], inputs.astype(np.float64))
    mean, deviation = (part.reshape(1, 8, 1, 1) for part in (hidden.mean((0, 2, 3)), hidden.std((0, 2, 3))))
    features = np.maximum((hidden - mean) / deviation, 0).transpose(0, 2, 3, 1).reshape(-1, 8)
    labels = np.stack([scene(100 + number)[1] for number in range(len(inputs))]).reshape(-1)
    goal = 8.0 * np.eye(CLASSES)[labels]
    fitted = np.linalg.lstsq(np.c_[features, np.ones(len(features))], goal, rcond=None)[0]
    weights = {
        "w": first,
        "gamma": np.ones(8),
        "beta": np.zeros(8),
        "mean": hidden.mean(axis=(0, 2, 3)),
        "var": hidden.var(axis=(0, 2, 3)),
        "v": fitted[:8].T.reshape(CLASSES, 8, 1, 1),
        "b": fitted[8],
    }
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["h"], name="conv"),
        helper.make_node("BatchNormalization", ["h", "gamma", "beta", "mean", "var"], ["n"], name="norm"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "v", "b"], ["y"], name="last"),
    ]
    sides = [size, size] if size is not None else ["H", "W"]
    graph = helper.make_graph(
        nodes,
        "trained",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *sides])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, CLASSES, *sides])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model
