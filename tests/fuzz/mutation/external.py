"""Weights in files of their own: at odd places, offsets and lengths, some outside the model's folder."""

from pathlib import Path
from random import Random

from onnx import ModelProto, TensorProto

from tests.fuzz.mutation import odd

_PLACES = (
    "w.bin",
    "w.bin",
    "w.bin",
    "./w.bin",
    "sub/../w.bin",
    "../secret.bin",
    "/etc/hostname",
    "none.bin",
    "m.onnx",
    "",
)


def mutate(random: Random, model: ModelProto, folder: Path) -> None:
    """Moves a weight of the model to a file in the folder, and says of it what may be wrong."""
    if not model.graph.initializer:
        return
    tensor = random.choice(model.graph.initializer)
    content = tensor.raw_data
    (folder / "w.bin").write_bytes(content[: len(content) - random.choice((0, 0, 0, 1, 4))])
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entries = {"location": random.choice(_PLACES) if random.random() < 0.8 else odd.text(random)}
    for key, right in (("offset", 0), ("length", len(content))):
        if random.random() < 0.7:
            entries[key] = str(random.choice((right, right, right, odd.integer(random), odd.text(random))))
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    if random.random() < 0.1:
        tensor.external_data.add(key="location", value="../secret.bin")
