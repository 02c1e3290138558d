"""A float model as it is read: its recipe from metadata, file and flags; what is refused."""

import hashlib
from pathlib import Path

import onnx
import pytest

from quantseg import graph
from quantseg.data.recipe import METADATA_KEY
from quantseg.errors import ModelError, RecipeError
from quantseg.quantization.float_model import RecipeSource, read_float_model
from tests.support import graphs


def test_flags_override_the_file_and_the_file_the_metadata(float_model: Path, tmp_path: Path) -> None:
    proto = onnx.load(float_model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, '[input]\nmean = [0.1]\nstd = [0.1]\nchannels = "BGR"\n'
    model, file = tmp_path / "m.onnx", tmp_path / "r.toml"
    onnx.save(proto, model)
    file.write_text('[input]\nmean = [0.2]\nchannels = "BGR"\n')

    def means(source: RecipeSource) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
        found = read_float_model(model, source).recipe.input
        return found.mean, found.std, found.channels

    assert means(RecipeSource()) == ((0.1,), (0.1,), "BGR")
    assert means(RecipeSource(file)) == ((0.2,), (1.0,), "BGR")
    assert means(RecipeSource(file, {"mean": (0.3,)})) == ((0.3,), (1.0,), "BGR")
    assert means(RecipeSource(None, {"channels": "RGB"})) == ((0.1,), (0.1,), "RGB")


def test_preprocessing_that_is_not_declared_is_told(float_model: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "quantseg"):
        read_float_model(float_model, RecipeSource(None, {"scale": 1.0, "mean": (3.0,)}))
        assert caplog.messages == []
        read_float_model(float_model, RecipeSource(None, {"channels": "RGB"}))
    assert caplog.messages == [
        f"{float_model.name}: no preprocessing declared; pixels are scaled to 0…1 (check says what fits)"
    ]


def test_a_recipe_in_the_metadata_is_checked_like_a_file(float_model: Path, tmp_path: Path) -> None:
    proto = onnx.load(float_model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, "[input]\nmeen = [0.1]\n"
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(RecipeError, match=r"m\.onnx, metadata: input: unknown key 'meen'"):
        read_float_model(tmp_path / "m.onnx")
    with pytest.raises(RecipeError, match=r"^the model, metadata: input: unknown key 'meen'"):
        read_float_model(proto.SerializeToString())


def test_a_recipe_that_cannot_be_read_is_named(float_model: Path, tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"none\.toml: cannot be read \(No such file or directory\); give"):
        read_float_model(float_model, RecipeSource(tmp_path / "none.toml"))


def test_bytes_give_the_model_that_their_file_gives(float_model: Path) -> None:
    content = float_model.read_bytes()
    file, memory = read_float_model(float_model), read_float_model(content)
    assert (file.source, memory.source) == (float_model, content)
    assert (file.name, memory.name) == (str(float_model), "the model")
    assert file.digest == memory.digest == hashlib.sha256(content).hexdigest()
    assert (file.recipe, file.input) == (memory.recipe, memory.input)
    assert graph.to_bytes(file.prepared.model) == graph.to_bytes(memory.prepared.model)


def test_a_model_that_is_quantised_already_is_refused(int8_model: Path) -> None:
    with pytest.raises(ModelError, match=r"net\.int8\.onnx: is quantised already; give the float model"):
        read_float_model(int8_model)
    with pytest.raises(ModelError, match=r"^the model: is quantised already"):
        read_float_model(int8_model.read_bytes())


def test_a_model_without_a_image_is_refused_by_its_name() -> None:
    content = graph.to_bytes(graphs.graph("y = Relu(x)", x="float[3]", y="float[3]"))
    with pytest.raises(ModelError, match=r"^the model: no image-like input"):
        read_float_model(content)


def test_a_model_that_no_runtime_opens_is_refused_before_its_graph_is_edited(float_model: Path) -> None:
    def refused(source: Path | bytes) -> None:
        raise ModelError(f"{source}: cannot be opened")

    with pytest.raises(ModelError, match="cannot be opened"):
        read_float_model(float_model, check_opens=refused)


def test_a_graph_that_cannot_be_prepared_is_named_with_its_file(float_model: Path, tmp_path: Path) -> None:
    proto = onnx.load(float_model)
    conv = next(node for node in proto.graph.node if node.op_type == "Conv")
    conv.attribute.append(onnx.helper.make_attribute("group", 7))
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(ModelError, match=r"m\.onnx: node '\w+' \(Conv\) .* 7 groups; export it again"):
        read_float_model(tmp_path / "m.onnx")
