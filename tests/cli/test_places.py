"""Paths that a stranger may have prepared: nothing outside is read, nothing but files and free names is written."""

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg.graph import to_bytes
from tests.cli.test_bad_input import place, refused
from tests.conftest import CLASSES, SIZE
from tests.support import graphs
from tests.support.command_line import Command
from tests.support.special_files import SPECIAL, pipe

__all__ = ["place"]  # a fixture

QUANTIZE = "quantize net.onnx --data data --effort fast"
OUTPUTS = {
    "quantize": (f"{QUANTIZE} --output out", "out"),
    "quantize, by default": (QUANTIZE, "net.int8.onnx"),
    "quantize --json": (f"{QUANTIZE} --json out", "out"),
    "calibrate": ("calibrate net.onnx --data data -o out", "out"),
    "calibrate --json": ("calibrate net.onnx --data data --json out", "out"),
    "unfinished calibration": ("calibrate net.onnx --data data -o c.json", "c.json.partial"),
    "sensitivity": ("sensitivity net.onnx --data data --figure out.svg", "out.svg"),
    "search": ("search net.onnx --data data --figure out", "out"),
    "report": ("report net.onnx --data data -o r", "r/index.html"),
    "report of a name": ("report net.onnx --data data -o r", "r/net/report.json"),
    "index of reports": ("report net.onnx --data data -o r", "r/README.md"),
    "evaluate": ("evaluate net.onnx --data data --json out", "out"),
    "inspect": ("inspect net.onnx --json out", "out"),
    "benchmark": ("benchmark net.onnx --json out", "out"),
    "compare": ("compare net.onnx --data data --json out", "out"),
    "simulate": ("simulate net.onnx --data data -o out", "out"),
    "explain": ("explain net.onnx y --json out", "out"),
    "demo": ("demo -o r", "r/cells_unet.onnx"),
}
"""What a command writes → the command, and the path."""


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_device_is_refused_before_work_begins(quantseg: Command, place: Path, name: str) -> None:
    command, target = OUTPUTS[name]
    (place / target).parent.mkdir(parents=True, exist_ok=True)
    SPECIAL["device"][0](place / target)
    assert refused(quantseg, place, command) == f"{target}: is a device; give the name of a file, or a new one"
    assert (place / target).is_char_device()


@pytest.mark.parametrize("kind", ["pipe", "socket", "link", "loop"])
def test_what_else_is_no_file_is_refused_too(quantseg: Command, place: Path, kind: str) -> None:
    if kind in SPECIAL:
        SPECIAL[kind][0](place / "out")
        called = SPECIAL[kind][1]
    else:
        (place / "out").symlink_to("net.onnx" if kind == "link" else "out")
        called = "a symbolic link"
    for command in (f"{QUANTIZE} -o out", f"{QUANTIZE} --json out", "calibrate net.onnx --data data -o out"):
        assert refused(quantseg, place, command) == f"out: is {called}; give the name of a file, or a new one"


@pytest.mark.parametrize("target", [".", "..", "/", "data/.."])
def test_folders_by_any_name_are_refused(quantseg: Command, place: Path, target: str) -> None:
    for command in (f"{QUANTIZE} --output {target}", f"{QUANTIZE} --json {target}"):
        assert refused(quantseg, place, command) == f"{target}: is a folder; give a file name"


def test_a_folder_where_an_unfinished_calibration_would_be(quantseg: Command, place: Path) -> None:
    (place / "out.json.partial").mkdir()
    message = refused(quantseg, place, "calibrate net.onnx --data data -o out.json")
    assert message == "out.json.partial: is a folder; give a file name"


FUNCTION = """<ir_version: 9, opset_import: ["": 13, "own": 1]>
net (float[1,3,{size},{size}] x) => (float[1,2,{size},{size}] y) {{ a = own.plus(x) y = Conv(a, w) }}"""


def test_no_file_of_this_machine_lands_in_the_int8_model(quantseg: Command, place: Path) -> None:
    """An external tensor as the default of a function's attribute."""
    (place / "secret").write_bytes(bytes(range(1, 13)) * SIZE * SIZE)
    proto = onnx.parser.parse_model(FUNCTION.format(size=SIZE))
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((2, 3, 1, 1), np.float32), "w"))
    tensor = onnx.TensorProto(name="k", data_type=1, dims=[1, 3, SIZE, SIZE], data_location=1)
    tensor.external_data.add(key="location", value="../secret")
    constant = onnx.NodeProto(op_type="Constant", output=["k"])
    constant.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, ref_attr_name="kept")
    added = onnx.helper.make_node("Add", ["v", "k"], ["out"])
    function = onnx.helper.make_function("own", "plus", ["v"], ["out"], [constant, added], proto.opset_import[:1])
    function.attribute_proto.append(onnx.helper.make_attribute("kept", tensor))
    proto.functions.append(function)
    (place / "sub").mkdir()
    (place / "sub/m.onnx").write_bytes(proto.SerializeToString())
    for command in ("quantize sub/m.onnx --data data --effort fast", "calibrate sub/m.onnx --data data"):
        message = refused(quantseg, place, command)
        assert message.startswith("sub/m.onnx: tensor 'k' keeps its data in '../secret', outside the model's folder")
    (place / "secret").rename(place / "sub/secret")
    proto.functions[0].attribute_proto[0].t.external_data[0].value = "secret"
    (place / "sub/m.onnx").write_bytes(proto.SerializeToString())
    assert quantseg(*["quantize", "sub/m.onnx", "--data", "data", "--effort", "fast"]).code == 0


def endless(place: Path) -> None:
    """m.onnx: a Loop goes on as long as its input is not negative, and it never is."""
    size = f"float[1,3,{SIZE},{SIZE}]"
    body = f"b (int64 i, bool c, {size} v) => (bool d, {size} w)"
    inner = "m = ReduceMax<keepdims=0>(v) a = Abs(m) d = GreaterOrEqual(a, zero) w = Identity(v)"
    text = f"k = Conv(x, w0) l = Loop <body = {body} {{ {inner} }}> (, start, k) y = Conv(l, w1)"
    constants = {"zero": np.float32(0), "start": np.array(True)}
    weights = {name: graphs.noise(CLASSES, 3, 1, 1) for name in ("w0", "w1")}
    model = graphs.graph(text, opset=16, x=size, y=size, **constants, **weights)
    (place / "m.onnx").write_bytes(to_bytes(model))


@pytest.mark.parametrize(
    "command",
    [
        "quantize m.onnx --data data --effort fast",
        pytest.param("calibrate m.onnx --data data --workers 2", marks=pytest.mark.slow),
        "evaluate m.onnx --data data",
        "evaluate net.onnx --data data --reference m.onnx",
        pytest.param("benchmark m.onnx", marks=pytest.mark.slow),
        pytest.param("inspect m.onnx", marks=pytest.mark.slow),
    ],
)
def test_a_model_that_never_ends_is_ended_and_named(quantseg: Command, place: Path, command: str) -> None:
    endless(place)
    message = refused(quantseg, place, f"{command} --timeout 0.5")
    assert message.startswith("m.onnx: took more than 0.5 s for one image in Loop ")
    assert message.endswith("; give more with --timeout, or mend it")


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf", "soon"])
def test_times_that_are_none(quantseg: Command, place: Path, seconds: str) -> None:
    message = refused(quantseg, place, f"quantize net.onnx --data data --timeout {seconds}")
    assert "--timeout" in message


READ = {
    "calibrate": "calibrate net.onnx --data {} -o c.json",
    "quantize": "quantize net.onnx --data {} --effort fast -o q.onnx",
    "evaluate": "evaluate net.int8.onnx --data {} --reference net.onnx",
    "sensitivity": "sensitivity net.onnx --data {} --no-left-float --limit 1",
    "sensitivity, calibrated": "sensitivity net.onnx --data data --calib {} --no-left-float --limit 1",
    "search": "search net.onnx --data {} --effort fast --evaluations 1 -o s.onnx",
    "search, calibrated": "search net.onnx --data data --calib {} --effort fast --evaluations 1 -o s.onnx",
    "compare": "compare net.onnx --data {} --rounds 1 --effort fast",
    "compare, calibrated": "compare net.onnx --data data --calib {} --rounds 1 --effort fast",
    "report": "report net.onnx --data {} --rounds 1 --effort fast -o r",
    "report, calibrated": "report net.onnx --data data --calib {} --rounds 1 --effort fast -o r",
    "simulate": "simulate net.int8.onnx --data {} --limit 1",
    "explain": "explain net.int8.onnx {node} --data {}",
}
"""Every way in which a command reads images."""


@pytest.mark.slow
@pytest.mark.parametrize("name", READ)
def test_links_out_of_the_data_are_followed_only_with_a_flag(
    quantseg: Command, place: Path, int8_model: Path, name: str
) -> None:
    shutil.copyfile(int8_model, place / "net.int8.onnx")
    shutil.copytree(place / "data", place / "linked")
    for part in ("images", "masks"):
        (place / f"linked/{part}/0.png").unlink()
        (place / f"linked/{part}/0.png").symlink_to(place / f"data/{part}/0.png")
    node = next(n.name for n in onnx.load(int8_model).graph.node if n.op_type == "QuantizeLinear")
    command = READ[name].replace("{node}", node)
    message = refused(quantseg, place, command.format("linked"))
    assert message.startswith("linked/images/0.png: a symbolic link leads out of the data folder")
    assert message.endswith("; copy the data there, or give --follow-links")
    outcome = quantseg(*command.format("linked").split(), "--follow-links")
    assert outcome.code in (0, 3), outcome.err  # 3: a search without a model in its budget


@pytest.mark.parametrize("where", ["images", "masks"])
def test_a_pipe_among_the_data_is_not_waited_for(quantseg: Command, place: Path, where: str) -> None:
    (place / f"data/{where}/1.png").unlink()
    pipe(place / f"data/{where}/1.png")
    message = refused(quantseg, place, "evaluate net.onnx --data data")
    assert message.endswith(f"data/{where}/1.png: a named pipe, not a file; remove it")


@pytest.mark.parametrize(
    "command",
    [
        "quantize pipe --data data",
        "quantize net.onnx --data pipe",
        "quantize net.onnx --data data --recipe pipe",
        "quantize net.onnx --calibration pipe",
        "quantize net.onnx --data data --reduce-channels pipe",
        "calibrate --merge pipe pipe",
        "simulate net.onnx --data data --against pipe",
        "evaluate net.onnx --data data --reference pipe",
        "benchmark net.onnx pipe",
        "inspect pipe",
    ],
)
def test_a_pipe_in_place_of_a_file_is_not_waited_for(quantseg: Command, place: Path, command: str) -> None:
    pipe(place / "pipe")
    message = refused(quantseg, place, command)
    assert "\n" not in message


def test_a_recipe_in_a_model_is_bounded(quantseg: Command, place: Path) -> None:
    model = onnx.load(place / "net.onnx")
    model.metadata_props.add(key="quantseg.recipe", value="a." * 50_000 + "b=1")
    onnx.save(model, place / "m.onnx")
    message = refused(quantseg, place, "quantize m.onnx --data data --effort fast")
    assert message == "m.onnx, metadata: a key has more than 8 parts, one of a recipe has two; correct it"


def test_constants_that_outgrow_their_file_are_refused_by_name(quantseg: Command, place: Path) -> None:
    text = "e = Expand(c, n) s = ReduceSum<keepdims=0>(e) a = Conv(x, w) y = Mul(a, s)"
    numbers = {"c": np.ones(1, np.float32), "n": np.array([1 << 28]), "w": graphs.noise(2, 3, 1, 1)}
    model = graphs.graph(text, x=f"float[1,3,{SIZE},{SIZE}]", y=f"float[1,2,{SIZE},{SIZE}]", **numbers)
    (place / "m.onnx").write_bytes(to_bytes(model))
    message = refused(quantseg, place, "quantize m.onnx --data data --effort fast")
    assert message.startswith("m.onnx: its 36 bytes of weights become constants of more than 256 MiB")
