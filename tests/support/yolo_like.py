"""A network with the outputs of YOLO with masks, whose instances are the bright squares of an image; and such images.

Each cell of two grids is an anchor with a box around it. In the coarse grid the score is high where the cell is bright
or red, the two classes, in the fine one nowhere. Prototypes are the brightness: a mask is the bright part of a box.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

SIZE = 64
CLASSES = ("bright", "red")
COEFFICIENTS = 4
_STRIDES = (8, 16)
BOX = 14


def network() -> onnx.ModelProto:
    """x (1, 3, 64, 64) → predictions (1, 4+2+4, 80), prototypes (1, 4, 16, 16)."""
    anchors = sum((SIZE // stride) ** 2 for stride in _STRIDES)
    rng = np.random.default_rng(0)
    tensors = {
        "w1": rng.normal(0, 0.02, (8, 3, 3, 3)),
        "w2": rng.normal(0, 0.02, (8, 8, 1, 1)),
        "ws": np.zeros((2, 8, 1, 1)),
        "b8": np.full(2, -60.0),
        "b16": np.array([-10.0, -7.0]),
        "wp": np.zeros((COEFFICIENTS, 8, 1, 1)),
        "bp": np.full(COEFFICIENTS, -3.0),
        "boxes": _boxes(),
        "coefficients": np.ones((1, COEFFICIENTS, anchors)),
    }
    tensors["w1"][:3, :, 1, 1] += np.eye(3)
    tensors["w2"][:3, :3, 0, 0] += np.eye(3)
    tensors["ws"][0, :3, 0, 0] = 8
    tensors["ws"][1, :3, 0, 0] = 24, -16, -16
    tensors["wp"][:, :3, 0, 0] = 6
    model = onnx.parser.parse_model(f"""
        <ir_version: 8, opset_import: ["" : 17]>
        g (float[1,3,{SIZE},{SIZE}] x) => (float[1,10,{anchors}] predictions, float[1,4,16,16] prototypes)
        <int64[3] flat = {{1, 2, -1}}> {{
            c1 = Conv <pads = [1, 1, 1, 1]> (x, w1)
            r1 = Relu (c1)
            c2 = Conv (r1, w2)
            r2 = Relu (c2)
            p4 = AveragePool <kernel_shape = [4, 4], strides = [4, 4]> (r2)
            prototypes = Conv (p4, wp, bp)
            p8 = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (p4)
            p16 = AveragePool <kernel_shape = [2, 2], strides = [2, 2]> (p8)
            s8 = Conv (p8, ws, b8)
            s16 = Conv (p16, ws, b16)
            f8 = Reshape (s8, flat)
            f16 = Reshape (s16, flat)
            logits = Concat <axis = 2> (f8, f16)
            scores = Sigmoid (logits)
            predictions = Concat <axis = 1> (boxes, scores, coefficients)
        }}
    """)
    model.graph.initializer.extend(
        numpy_helper.from_array(values.astype(np.float32), name) for name, values in tensors.items()
    )
    onnx.checker.check_model(model, full_check=True)
    return model


def _boxes() -> np.ndarray:
    rows = []
    for stride in _STRIDES:
        y, x = (np.mgrid[:SIZE:stride, :SIZE:stride] + stride / 2).reshape(2, -1)
        rows.append(np.stack([x, y, np.full(len(x), BOX), np.full(len(x), BOX)]))
    return np.concatenate(rows, axis=1)[None]


def image(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A dark image (64, 64, 3) with a few bright and a few red squares; their class ids and their instance ids."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(10, 60, (SIZE, SIZE, 3), dtype=np.uint8)
    classes, ids = np.zeros((2, SIZE, SIZE), np.uint8)
    for number, place in enumerate(rng.permutation(16)[:5]):
        y, x = (int(part) * 16 + 2 for part in divmod(int(place), 4))
        square = np.s_[y : y + 12, x : x + 12]
        colour = np.array([230, 30, 30] if number % 2 else [230, 230, 230])
        pixels[square] = colour + rng.integers(-25, 25, (12, 12, 3))
        classes[square], ids[square] = 1 + number % 2, 1 + number
    return pixels, classes, ids


def write(folder: Path, images: int = 3) -> tuple[Path, Path]:
    """Writes the network, and images with masks and instance ids, and gives the paths of network and data."""
    model, data = folder / "yolo.onnx", folder / "objects"
    onnx.save(network(), model)
    for name in ("images", "masks", "instances"):
        (data / name).mkdir(parents=True)
    for k in range(images):
        for name, pixels in zip(("images", "masks", "instances"), image(k), strict=True):
            Image.fromarray(pixels).save(data / name / f"{k}.png")
    return model, data
