"""The valid files that inputs start from, made in code: networks, their int8 forms, images and calibrations."""

import functools
from pathlib import Path

import numpy as np
import onnx
from onnx import helper

from quantseg.graph import to_bytes
from tests.support import models
from tests.support.operator_rows import ROWS, model_of

SIZE = 16
CLASSES = ("sky", "road", "car")
UNET = "unet"
NETWORKS = (UNET, UNET, UNET, *ROWS)
"""Names of the networks: every operator in every spelling between two convolutions, and a U-Net, which is larger."""
RECIPE = f"""[input]
size = [{SIZE}, {SIZE}]
layout = "NCHW"
channels = "RGB"
scale = 0.00392156862745098
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
resize = "bilinear"
[output]
name = "y"
layout = "NCHW"
head = "argmax"
threshold = 0.5
classes = ["sky", "road", "car"]
ignore_index = 255
"""


@functools.cache
def network(name: str) -> bytes:
    """The file of a network that takes an image x: (1, 3, 16, 16) for the U-Net, (2, 3, 12, 12) for the others."""
    if name == UNET:
        return models.unet(base=4, depth=2, classes=len(CLASSES), size=SIZE).SerializeToString()
    model = onnx.ModelProto.FromString(to_bytes(model_of(ROWS[name])))
    (output,) = model.graph.output
    output.CopyFrom(helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 4, "h", "w"]))
    return model.SerializeToString()


def feed(model: onnx.ModelProto, folder: Path, *, seed: int = 0, most: int = 1 << 16) -> None:
    """Writes data/x.npy in the folder: an array as the model's first input states it, where that is small."""
    constants = {tensor.name for tensor in model.graph.initializer}
    asked = [value.type.tensor_type for value in model.graph.input if value.name not in constants]
    asked.sort(key=lambda one: len(one.shape.dim) != 4)
    shape, kind = (1, 3, 12, 12), np.dtype(np.float32)
    if asked:
        sizes = (dim.dim_value if dim.HasField("dim_value") else None for dim in asked[0].shape.dim)
        found = tuple(
            size if size is not None else fill for size, fill in zip(sizes, (1, 3, 12, 12, 2, 2), strict=False)
        )
        if all(size > 0 for size in found) and np.prod(found, dtype=object) <= most:
            shape = found
        try:
            kind = helper.tensor_dtype_to_np_dtype(asked[0].elem_type)
        except KeyError:
            kind = np.dtype(np.float32)
    values = np.random.default_rng(seed).normal(size=shape)
    (folder / "data").mkdir(exist_ok=True)
    if kind.kind in "biuf" and np.dtype(kind).isbuiltin == 1:
        np.save(folder / "data" / "x.npy", (values * (50 if kind.kind in "iu" else 1)).astype(kind))
    else:
        np.save(folder / "data" / "x.npy", values.astype(np.float32))
