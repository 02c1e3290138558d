"""A float model, read, calibrated on one input, quantised (mostly at effort fast) and written, as `quantize` does."""

from pathlib import Path
from random import Random
from typing import Any

import onnx

from quantseg import api
from quantseg.refinement.options import Options
from quantseg.simulation import saturation
from tests.fuzz import corpus
from tests.fuzz.mutation import external, network, protobuf, raw
from tests.fuzz.target import Target

_WAYS = ("network",) * 10 + ("protobuf",) * 5 + ("both",) * 2 + ("external", "raw", "raw", "none")


def make(random: Random, folder: Path) -> None:
    """A network changed in what it says, in any field of its message, in its bytes, or not at all."""
    content, way = corpus.network(random.choice(corpus.NETWORKS)), random.choice(_WAYS)
    model = onnx.ModelProto.FromString(content)
    if way in ("network", "both"):
        network.mutate(random, model)
    if way in ("protobuf", "both"):
        protobuf.mutate(random, model)
    if way == "external":
        external.mutate(random, model, folder)
    content = model.SerializeToString()
    (folder / "m.onnx").write_bytes(raw.mutated(random, content) if way == "raw" else content)
    corpus.feed(model, folder)


def run(random: Random, folder: Path) -> None:
    """All that `quantseg quantize` does, but for what it prints."""
    made = api.quantize(folder / "m.onnx", folder / "data", options=Options.of(_words(random)))
    str(made)
    saturation.verdict(made.model)
    made.save(folder / "out.onnx")


def _words(random: Random) -> dict[str, Any]:
    """Options that do not contradict each other, of every kind."""
    target = random.choice(("portable",) * 20 + ("openvino", "openvino", "ort-cpu"))
    words: dict[str, Any] = {
        "target": target,
        "effort": "balanced" if random.random() < 0.15 else "fast",
        "threads": 1,
        "calibrator": random.choice(("minmax", "minmax", "percentile", "mse", "entropy")),
        "symmetric": random.random() < 0.2,
        "reduce_range": random.random() < 0.1,
        "fold": random.choice(((), (), (), ("argmax",), ("preprocess",), ("argmax", "preprocess"))),
    }
    grids = (("uint8", "int8"), ("uint8", "int8"), ("uint8", "uint8"), ("int8", "int8"), ("uint8", "int4"))
    words["activations"], words["weights"] = random.choice(grids)
    words["per_channel"] = words["weights"] == "int4" or random.random() < 0.8
    if target == "ort-cpu":
        return words | {"cache": False, "int8_everywhere": random.random() < 0.5}
    return words | {"format": "qdq" if target == "openvino" else random.choice(("qdq", "qoperator", "channels-last"))}


MODEL = Target("a float model (.onnx)", make, run)
