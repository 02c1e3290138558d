"""A .tflite file, as `simulate` and the commands that read its listing take it; nothing of it runs in LiteRT here."""

import functools
from pathlib import Path
from random import Random

import onnx

from quantseg import api
from quantseg.mixed_precision.feeds import feeds_for
from quantseg.quantization.model_files import maker_of, read_file
from quantseg.refinement.options import Options
from quantseg.simulation.saturation import verdict_of
from tests.fuzz import corpus
from tests.fuzz.mutation import raw
from tests.fuzz.target import Target
from tests.support import candidates

_NETWORKS = (
    corpus.UNET, corpus.UNET, "hard-swish", "LeakyRelu", "AveragePool", "bilinear", "nearest", "Add", "Mul",
    "Softmax over channels", "self-attention", "ConvTranspose", "Concat", "squeeze-excite", "Pad",
)  # fmt: skip


@functools.cache
def _quantised(name: str) -> bytes:
    options = Options.of({"effort": "fast", "threads": 1, "target": "litert"})
    shape = (1, 3, 16, 16) if name == corpus.UNET else (2, 3, 12, 12)
    made = api.quantize(corpus.network(name), candidates.images(1, shape), options=options)
    assert made.tflite is not None
    return made.tflite


def make(random: Random, folder: Path) -> None:
    """A .tflite file changed in its bytes, or as it was."""
    name = random.choice(_NETWORKS)
    content = _quantised(name)
    changed = raw.mutated(random, content) if random.random() < 0.9 else content
    (folder / "m.int8.tflite").write_bytes(changed)
    corpus.feed(onnx.ModelProto.FromString(corpus.network(name)), folder)


def run(random: Random, folder: Path) -> None:
    """A simulation, or what other commands read of it."""
    path = folder / "m.int8.tflite"
    if random.random() < 0.5:
        maker_of(path)
        read_file(path)
        verdict_of(path).to_json()
        feeds_for(path)
        return
    save = folder / "out.npz" if random.random() < 0.3 else None
    str(api.simulate(path, folder / "data", options=Options(threads=1), save=save))


TFLITE = Target("a quantised model (.tflite)", make, run)
