"""What an app must know is read from the model; a model that needs code before or behind it is refused in a line."""

from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest

import quantseg as qs
from quantseg import graph
from quantseg.errors import ModelError
from quantseg.shipping import AppFacts, facts_of
from tests.conftest import SIZE
from tests.shipping.conftest import NAMES
from tests.support import graphs


def test_facts_of_a_folded_model(folded_model: Path) -> None:
    facts = facts_of(graph.load(folded_model), "net")
    assert facts == AppFacts(
        name="net",
        size=(SIZE, SIZE),
        channels="RGB",
        resize="bilinear",
        input="pixels",
        output="mask",
        layout="NHW",
        overlapping=False,
        classes=NAMES,
        preprocessing=facts.preprocessing,
    )
    assert dict(facts.preprocessing) == {"channels": "RGB", "scale": 1 / 255, "mean": [0.0], "std": [1.0]}
    assert facts.colours[0] == "#343a46"
    assert len(set(facts.colours)) == 3
    assert facts.to_json()["classes"][1] == {"name": NAMES[1], "colour": facts.colours[1]}


@pytest.mark.parametrize(
    ("fold", "said"),
    [
        ((), "net: takes 'x' float32 1x3x32x32, not pixels as they are"),
        (("preprocess",), "net: gives 'y' float32 1x3x32x32, not class ids"),
        (("argmax",), "net: takes 'x' float32 1x3x32x32, not pixels as they are"),
    ],
)
def test_what_is_not_folded_is_told(fold: tuple[str, ...], said: str, float_model: Path, images: Path) -> None:
    made = qs.quantize(float_model, images, effort="fast", fold=fold, threads=1)
    with pytest.raises(ModelError, match="fold='preprocess' and fold='argmax'") as raised:
        facts_of(made.model, "net")
    assert str(raised.value).startswith(said)


def changed(model: Path, change: str) -> ir.Model:
    proto = onnx.load(model)
    if change == "no metadata":
        del proto.metadata_props[:]
    elif change == "two images":
        proto.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 2
    else:
        proto.graph.input.append(onnx.helper.make_tensor_value_info("threshold", onnx.TensorProto.FLOAT, [1]))
    return ir.serde.deserialize_model(proto)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("no metadata", "net: is not an int8 model of quantseg"),
        ("two images", "net: takes 2 images at once; export it for one"),
        ("more inputs", "net: takes more than an image"),
    ],
)
def test_models_that_an_app_cannot_use(change: str, said: str, folded_model: Path) -> None:
    with pytest.raises(ModelError) as raised:
        facts_of(changed(folded_model, change), "net")
    assert str(raised.value).startswith(said)


def test_classes_that_overlap_and_grey_images(tmp_path: Path) -> None:
    model = graphs.graph("y = Conv(x, w)", x="float[1,1,8,8]", y="float[1,2,8,8]", w=graphs.noise(2, 1, 1, 1))
    graph.save(model, tmp_path / "m.onnx")
    (tmp_path / "r.toml").write_text('[output]\nhead = "multilabel"\nclasses = ["a", "b"]\n')
    data = [np.random.default_rng(k).random((1, 8, 8), np.float32) for k in range(2)]
    loaded = qs.load(tmp_path / "m.onnx", tmp_path / "r.toml")
    made = qs.quantize(loaded, data, effort="fast", fold=("preprocess", "argmax"))
    facts = facts_of(made.model, "m")
    assert (facts.channels, facts.overlapping, facts.layout, facts.classes) == ("GRAY", True, "NCHW", ("a", "b"))
