"""A quantised model, as `simulate`, `explain`, `inspect`, `evaluate` and `benchmark` read it."""

import functools
from pathlib import Path
from random import Random

import onnx

from quantseg import api, graph
from quantseg.mixed_precision.feeds import feeds_for
from quantseg.refinement.options import Options
from quantseg.runtimes import DEFAULT
from quantseg.simulation import saturation
from tests.fuzz import corpus
from tests.fuzz.mutation import network, protobuf, raw
from tests.fuzz.target import Target
from tests.support import candidates

_NETWORKS = (
    corpus.UNET, corpus.UNET, "hard-swish", "SiLU", "LeakyRelu", "AveragePool", "MaxUnpool", "bilinear", "nearest",
    "Add", "Mul", "Softmax over channels", "self-attention", "ConvTranspose", "Concat", "squeeze-excite",
    "Pad",
)  # fmt: skip
_FORMATS = ("qdq", "qoperator", "channels-last")
_WAYS = ("network",) * 8 + ("protobuf",) * 5 + ("raw", "none")


@functools.cache
def _quantised(name: str, qformat: str, fold: str) -> bytes:
    options = Options.of({"effort": "fast", "threads": 1, "format": qformat, "fold": fold.split()})
    shape = (1, 3, 16, 16) if name == corpus.UNET else (2, 3, 12, 12)
    data = candidates.images(1, shape)
    return graph.to_bytes(api.quantize(corpus.network(name), data, options=options).model)


def make(random: Random, folder: Path) -> None:
    """An int8 model changed in what it says, in any field of its message, or in its bytes."""
    name = random.choice(_NETWORKS)
    fold = random.choice(("", "", "argmax", "preprocess argmax")) if name == corpus.UNET else ""
    model = onnx.ModelProto.FromString(_quantised(name, random.choice(_FORMATS), fold))
    way = random.choice(_WAYS)
    if way == "network":
        network.mutate(random, model)
    elif way == "protobuf":
        protobuf.mutate(random, model)
    content = model.SerializeToString()
    (folder / "m.int8.onnx").write_bytes(raw.mutated(random, content) if way == "raw" else content)
    (folder / "m.onnx").write_bytes(corpus.network(name))
    corpus.feed(model, folder)


def run(random: Random, folder: Path) -> None:
    """One of the commands that take a quantised model."""
    random.choice((_simulate, _simulate, _explain, _inspect, _evaluate))(random, folder)


def _simulate(random: Random, folder: Path) -> None:
    against = random.choice((None, "onnxruntime", "onnxruntime", str(folder / "m.int8.onnx")))
    processor = random.choice((None, "exact", "avx2", "neon"))
    save = folder / "out.npz" if random.random() < 0.3 else None
    found = api.simulate(
        folder / "m.int8.onnx",
        folder / "data",
        options=Options(threads=1),
        against=against,
        processor=processor,
        save=save,
    )
    str(found)
    [sums.to_json() for sums in found.found.sums.values()]
    found.found.judgement.to_json()


def _explain(random: Random, folder: Path) -> None:
    try:
        proto = onnx.load(folder / "m.int8.onnx", load_external_data=False)
        names = [node.name for node in proto.graph.node if node.name]
    except Exception:  # what the file holds is no model; the command says so
        names = []
    at = random.choice((None, None, (0, 0, 0, 0), (0,), (-1, 99, 0, 0)))
    reference = folder / "m.onnx" if random.random() < 0.3 else None
    data = folder / "data" if random.random() < 0.7 else None
    node = random.choice([*names, "x"])
    str(api.explain(folder / "m.int8.onnx", node, data=data, at=at, reference=reference))


def _inspect(random: Random, folder: Path) -> None:
    path = folder / "m.int8.onnx"
    DEFAULT.executed(path, feeds_for(path), threads=1, runs=1)
    loaded = graph.load(path)
    if graph.is_quantised(loaded):
        saturation.verdict(loaded).to_json()


def _evaluate(random: Random, folder: Path) -> None:
    str(api.evaluate(folder / "m.onnx", folder / "m.int8.onnx", folder / "data", options=Options(threads=1)))


INT8 = Target("a quantised model (.onnx)", make, run)
