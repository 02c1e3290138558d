from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg.errors import ModelError
from quantseg.graph import TensorSpec
from quantseg.runtimes import RUNTIMES, Runtime, check_opens
from tests.support import models, web

ADD = models.text("""
<ir_version: 8, opset_import: ["": 13]>
g (float[N, 3] x, float[M, 3] y) => (float[K, 3] sum, float[K, 3] twice) {
  sum = Add(x, y)
  twice = Add(sum, sum)
}
""")
ADD.graph.node[0].name = "plus"

X = np.arange(6, dtype=np.float32).reshape(2, 3)


EXTRAS = {"openvino": "openvino"}
"""Runtimes whose package an extra brings."""


@pytest.fixture(params=[name for name in RUNTIMES if not name.startswith("litert")])  # .tflite files: test_litert.py
def runtime(request: pytest.FixtureRequest) -> Runtime:
    if find_spec(EXTRAS.get(request.param, "onnxruntime")) is None:
        pytest.skip(f"{request.param} is not installed: an extra")
    if request.param == "onnxruntime-web" and (reason := web.missing()):
        pytest.skip(reason)
    return RUNTIMES[request.param]


def test_name_of_a_runtime_is_its_key(runtime: Runtime) -> None:
    assert RUNTIMES[runtime.name] is runtime
    assert runtime.version


@pytest.mark.parametrize("spinning", [True, False])
@pytest.mark.parametrize("threads", [1, 2])
def test_outputs_are_those_of_the_unoptimised_model(runtime: Runtime, threads: int, spinning: bool) -> None:
    unet = models.unet(base=4, depth=2, size=32)
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)}
    session = runtime.open(unet.SerializeToString(), threads=threads, spinning=spinning)
    (found,) = session.run(feeds)
    session.close()
    np.testing.assert_allclose(found, models.run(unet, feeds)[0], atol=1e-4)


def test_signature_has_none_for_dynamic_sizes(runtime: Runtime) -> None:
    session = runtime.open(ADD.SerializeToString(), threads=1)
    assert session.inputs == (TensorSpec("x", "float32", (None, 3)), TensorSpec("y", "float32", (None, 3)))
    assert [spec.name for spec in session.outputs] == ["sum", "twice"]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8", "uint8", "int64", "bool"])
def test_element_types_are_numpy_names(runtime: Runtime, dtype: str) -> None:
    spelled = {"float32": "float", "float64": "double"}.get(dtype, dtype)
    source = f"g ({spelled}[2] x) => ({spelled}[2] y) {{ y = Identity(x) }}"
    session = runtime.open(
        models.text(f'<ir_version: 8, opset_import: ["": 13]> {source}').SerializeToString(), threads=1
    )
    assert session.inputs == (TensorSpec("x", dtype, (2,)),)
    (y,) = session.run({"x": np.zeros(2, dtype)})
    assert y.dtype == dtype


def test_initializers_listed_as_inputs_need_no_feed(runtime: Runtime) -> None:
    model = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Add(x, w) }
    """)
    session = runtime.open(model.SerializeToString(), threads=1)
    assert [spec.name for spec in session.inputs] == ["x"]
    np.testing.assert_array_equal(session.run({"x": np.ones(2, np.float32)})[0], [2, 3])


def test_outputs_are_chosen_by_name(runtime: Runtime) -> None:
    session = runtime.open(ADD.SerializeToString(), threads=1)
    twice, total = session.run({"x": X, "y": X}, ["twice", "sum"])
    np.testing.assert_array_equal(twice, 2 * total)


def test_a_path_is_opened_with_the_external_data_beside_it(runtime: Runtime, tmp_path: Path) -> None:
    unet = models.unet(base=2, depth=1, size=8)
    feeds = {"x": np.ones((1, 3, 8, 8), np.float32)}
    expected = models.run(unet, feeds)[0]
    path = tmp_path / "unet.onnx"
    onnx.save(unet, path, save_as_external_data=True, location="weights", size_threshold=0)
    session = runtime.open(path, threads=1)
    np.testing.assert_allclose(session.run(feeds)[0], expected, atol=1e-5)
    assert runtime.executed(path, feeds, threads=1, runs=1)


def opened(source: str) -> str:
    return f'<ir_version: 8, opset_import: ["": 13, "unknown": 1]> g {source}'


BAD_MODELS = {
    "not a model": b"not a model",
    "nothing": b"",
    "cut short": ADD.SerializeToString()[:40],
    "an operator that nobody has": onnx.parser.parse_model(
        opened("(float[2] x) => (float[2] y) { y = unknown.Magic(x) }")
    ).SerializeToString(),
}


@pytest.mark.parametrize("content", BAD_MODELS.values(), ids=BAD_MODELS)
def test_a_bad_model_is_refused_in_one_line_and_in_silence(
    runtime: Runtime, tmp_path: Path, capfd: pytest.CaptureFixture[str], content: bytes
) -> None:
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError) as caught:
        runtime.open(path, threads=1)
    assert str(caught.value).startswith(f"{path}: {runtime.name} cannot open it (")
    assert "ONNXRuntimeError" not in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


def test_a_missing_kernel_is_named() -> None:
    source = "(double[1,1,4,4] x, double[1,1,2,2] w) => (double[1,1,5,5] y) { y = ConvTranspose(x, w) }"
    with pytest.raises(ModelError, match="ConvTranspose"):
        RUNTIMES["onnxruntime"].open(models.text(opened(source)).SerializeToString(), threads=1)


def test_a_missing_file_is_refused(runtime: Runtime, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"absent\.onnx"):
        runtime.open(tmp_path / "absent.onnx", threads=1)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": X}, r"inputs \['x'\] were given; feed exactly \['x', 'y'\]"),
        ({"x": X, "y": X, "z": X}, r"\['x', 'y', 'z'\] were given"),
        ({"x": X, "y": X.astype(np.float64)}, r"'y' was given as float64 \(2, 3\); feed float32 \(\?, 3\)"),
        ({"x": X.T, "y": X}, r"'x' was given as float32 \(3, 2\); feed float32 \(\?, 3\)"),
        ({"x": X[0], "y": X}, r"'x' was given as float32 \(3\); feed"),
        ({"x": X, "y": np.concatenate([X, X])[:3]}, "(Add .*'(plus|sum)'|\\(axis == ).*try another input size"),
    ],
)
def test_bad_feeds_are_refused_in_one_line_and_in_silence(
    runtime: Runtime, capfd: pytest.CaptureFixture[str], feeds: dict[str, np.ndarray], message: str
) -> None:
    session = runtime.open(ADD.SerializeToString(), threads=1)
    with pytest.raises(ModelError, match=message) as caught:
        session.run(feeds)
    assert len(str(caught.value).splitlines()) == 1
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", BAD_MODELS.values(), ids=BAD_MODELS)
def test_what_onnxruntime_cannot_open_is_told_beforehand(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"^model: onnxruntime cannot open it"):
        check_opens(content)


def test_what_onnxruntime_opens_passes(tmp_path: Path) -> None:
    check_opens(ADD.SerializeToString())
    (tmp_path / "m.onnx").write_bytes(ADD.SerializeToString())
    check_opens(tmp_path / "m.onnx")


def test_bytes_that_onnxruntime_quotes_are_one_line() -> None:
    """An error that quotes them is no UTF-8, so that it comes as a UnicodeDecodeError."""
    model = onnx.parser.parse_model(
        opened("(float[1,1,2,2] x, float[4] s) => (float[1,1,4,4] y) { y = Resize(x, , s) }")
    )
    model.graph.node[0].attribute.append(onnx.helper.make_attribute("mode", b"near\xba"))
    with pytest.raises(ModelError, match=r"cannot open it \(.*near\ufffd.*\); check it with onnx\.checker"):
        check_opens(model.SerializeToString())


def test_double_names_of_nodes_pass() -> None:
    model = onnx.ModelProto.FromString(ADD.SerializeToString())
    assert len(model.graph.node) > 1
    for node in model.graph.node:
        node.name = "same"
    check_opens(model.SerializeToString())
