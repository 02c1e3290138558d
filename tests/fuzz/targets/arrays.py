"""Model inputs in .npy and .npz files."""

from pathlib import Path
from random import Random

import numpy as np

from quantseg.data import open_dataset
from quantseg.data.recipe import Recipe, complete
from quantseg.graph import TensorSpec
from tests.fuzz.mutation import archives, odd
from tests.fuzz.target import Target

_SPECS = ((1, 3, 12, 12), (None, 3, None, None), (None, None, None, None))


def make(random: Random, folder: Path) -> None:
    """An array whose header, bytes or archive are changed."""
    (folder / "data").mkdir()
    if random.random() < 0.5:
        (folder / "data" / "a.npy").write_bytes(archives.npy(random, _array(random)))
        return
    names = random.sample(
        ("x.npy", "x", "y.npy", "mask.npy", "arr_0.npy", f"{odd.text(random)[:60]}.npy"), random.choice((0, 1, 1, 2))
    )
    members = {name.replace("\0", "").replace("\\", ""): archives.npy(random, _array(random)) for name in names}
    (folder / "data" / "a.npz").write_bytes(archives.archive(random, members))


def _array(random: Random) -> np.ndarray:
    kind = random.choice((np.float32, np.float32, np.float32, np.float64, np.uint8, np.bool_))
    shape = random.choice(
        ((1, 3, 12, 12), (1, 3, 12, 12), (3, 12, 12), (2, 3, 12, 12), (1, 12, 12, 3), (), (0, 3, 12, 12))
    )
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
