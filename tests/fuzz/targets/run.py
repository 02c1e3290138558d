"""A saved run (.npz of `simulate -o`), as `simulate --against` reads it."""

import functools
import io
import json
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from random import Random

import numpy as np

from quantseg import api
from tests.fuzz.mutation import archives, documents
from tests.fuzz.target import Target
from tests.fuzz.targets import given

_ABOUT = "run.json"


@functools.cache
def _members() -> Mapping[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        data, path = given.write_images(Path(folder)), Path(folder) / "run.npz"
        api.simulate(given.int8(), data, options=given.OPTIONS, save=path)
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}


def make(random: Random, folder: Path) -> None:
    """A saved run whose description, arrays or archive are changed."""
    members = dict(_members())
    if random.random() < 0.5:
        members[_ABOUT] = documents.mutated(random, json.loads(members[_ABOUT]))
    for name in random.sample(sorted(set(members) - {_ABOUT}), random.choice((0, 1, 2))):
        members[name] = archives.npy(random, np.load(io.BytesIO(members[name])))
    (folder / "run.npz").write_bytes(archives.archive(random, members))
    (folder / "m.onnx").write_bytes(given.int8())
    given.write_images(folder)


def run(random: Random, folder: Path) -> None:
    """The int8 U-Net simulated and compared with the run."""
    found = api.simulate(folder / "m.onnx", folder / "data", options=given.OPTIONS, against=folder / "run.npz")
    str(found)
    json.dumps(found.found.judgement.to_json())


RUN = Target("a saved run (.npz of `simulate -o`)", make, run)
