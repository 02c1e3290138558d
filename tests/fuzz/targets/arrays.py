"""Model inputs in .npy and .npz files."""

from pathlib import Path
from random import Random

import numpy as np

from quantseg.data import open_dataset
from quantseg.data.recipe import Recipe, complete
from quantseg.graph import TensorSpec
from tests.fuzz.mutation import archives
from tests.fuzz.target import Target

_OTHERS = ("x", "y.npy", "mask.npy", "arr_0.npy", "x.npy.npy", "\u56fe.npy", "a\nb.npy", "n" * 300 + ".npy")
_SHAPES = ((3, 12, 12), (2, 3, 12, 12), (1, 12, 12, 3), (1, 1, 12, 12), (), (0, 3, 12, 12), (1, 3, 12, 13), (1,) * 33)
_SPECS = ((1, 3, 12, 12), (None, 3, None, None), (None, None, None, None))


def make(random: Random, folder: Path) -> None:
    """An array whose header, bytes or archive are changed."""
    (folder / "data").mkdir()
    if random.random() < 0.5:
        (folder / "data" / "a.npy").write_bytes(archives.npy(random, _array(random)))
        return
    others = random.sample(_OTHERS, random.choice((0, 0, 1, 2)))
    names = [*(["x.npy"] if random.random() < 0.85 else []), *others]
    members = {name: archives.npy(random, _array(random)) for name in names}
    (folder / "data" / "a.npz").write_bytes(archives.archive(random, members))


def _array(random: Random) -> np.ndarray:
    shape = random.choice(_SHAPES) if random.random() < 0.4 else (1, 3, 12, 12)
    kind = random.choice((np.float64, np.uint8, np.bool_)) if random.random() < 0.2 else np.float32
    values = np.random.default_rng(random.getrandbits(32)).normal(size=shape).astype(kind)
    return np.asfortranarray(values) if random.random() < 0.1 else values


def run(random: Random, folder: Path) -> None:
    """The arrays as a model's input, each with its digest."""
    inputs = TensorSpec("x", "float32", random.choice(_SPECS))
    size = None if inputs.shape[2] is not None else (12, 12)
    fixed = TensorSpec("x", "float32", (1, 3, 12, 12))
    recipe = complete(Recipe(), [fixed], [TensorSpec("y", "float32", (1, 3, *(size or (12, 12))))], model="m.onnx")
    data = open_dataset(folder / "data", recipe, inputs=inputs)
    for index in range(len(data.names)):
        data.digest(index)
        data.load(index)


ARRAYS = Target("model inputs (.npy, .npz)", make, run)
