"""Every command on a model of several inputs: from files that hold all, and from images with --input."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support import graphs
from tests.support.command_line import Command
from tests.support.quantised import kernel
from tests.support.several_inputs import feeds, saved, three_inputs, write_images, write_npz

FAST = ("--effort", "fast")
COMMANDS = {
    "calibrate": ("calibrate", "MODEL", "--data", "DATA", "-o", "OUT.json"),
    "quantize": ("quantize", "MODEL", "--data", "DATA", *FAST, "-o", "OUT.onnx"),
    "evaluate": ("evaluate", "INT8", "--reference", "MODEL", "--data", "DATA"),
    "simulate": ("simulate", "INT8", "--data", "DATA", "--against", "onnxruntime"),
    "explain": ("explain", "INT8", "NODE", "--data", "DATA", "--reference", "MODEL"),
    "sensitivity": ("sensitivity", "MODEL", "--data", "DATA", "--limit", 1, "--no-left-float"),
    "search": ("search", "MODEL", "--data", "DATA", *FAST, "--max-iou-drop", 99, "--evaluations", 1, "-o", "OUT.onnx"),
    "compare": ("compare", "MODEL", "--data", "DATA", *FAST, "--rounds", 1),
    "report": ("report", "MODEL", "--data", "DATA", *FAST, "--rounds", 1, "--no-images", "-o", "OUT"),
    "inspect": ("inspect", "INT8", "--runs", 1),
    "benchmark": ("benchmark", "MODEL", "INT8", "--rounds", 1, "--runs", 1),
    "ort-cpu": (
        *("quantize", "MODEL", "--data", "DATA", *FAST, "-o", "OUT.onnx"),
        *("--target", "ort-cpu", "--int8-everywhere", "--no-timing"),
    ),
    "openvino": ("quantize", "MODEL", "--data", "DATA", *FAST, "--target", "openvino", "-o", "OUT.onnx"),
}  # fmt: skip
QUICK = {"calibrate", "quantize", "evaluate", "simulate", "explain"}
EACH = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in COMMANDS]
CONSTANTS = ("--input", "prior=0.5", "--input", "scale=0.75")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Model, files that hold all inputs, and images."""
    folder = tmp_path_factory.mktemp("several")
    saved(three_inputs(), folder / "m.onnx")
    write_npz(folder / "npz", 3)
    write_images(folder / "images", 3)
    return folder


@pytest.fixture
def int8(quantseg: Command, place: Path) -> Path:
    path = place / "m.int8.onnx"
    if not path.exists():
        done = quantseg("quantize", place / "m.onnx", "--data", place / "npz", "--effort", "fast")
        assert done.code == 0, done.err
    return path


def words(name: str, place: Path, data: str, out: Path) -> list[object]:
    convolutions = [n.name for n in onnx.load(place / "m.int8.onnx").graph.node if n.op_type == "Conv"]
    known = {
        "MODEL": place / "m.onnx", "INT8": place / "m.int8.onnx", "DATA": place / data, "NODE": convolutions[0],
        "OUT": out, "OUT.onnx": out / "o.onnx", "OUT.json": out / "o.json",
    }  # fmt: skip
    return [known.get(str(word), word) for word in COMMANDS[name]]


@pytest.mark.parametrize("name", EACH)
def test_files_that_hold_all_inputs_need_no_flag(
    name: str, quantseg: Command, place: Path, int8: Path, tmp_path: Path
) -> None:
    done = quantseg(*words(name, place, "npz", tmp_path), "--json", tmp_path / "j.json")
    assert done.code == 0, done.err
    assert json.loads((tmp_path / "j.json").read_text())


@pytest.mark.parametrize("name", EACH)
def test_images_take_the_others_as_constants(
    name: str, quantseg: Command, place: Path, int8: Path, tmp_path: Path
) -> None:
    done = quantseg(*words(name, place, "images", tmp_path), *CONSTANTS)
    assert done.code == 0, done.err


@pytest.mark.parametrize("name", [case for case in EACH if case.values[0] not in ("inspect", "benchmark")])
def test_an_input_that_is_missing_is_one_line(
    name: str, quantseg: Command, place: Path, int8: Path, tmp_path: Path
) -> None:
    done = quantseg(*words(name, place, "images", tmp_path), *CONSTANTS[2:])
    said = "input 'prior' float32 1x1x12x16 is not given; save it in .npz files under that name, or give"
    assert done.code == 2
    first = "1.png" if name == "search" else "0.png"  # every second image calibrates, the others are judged first
    assert done.err.splitlines()[-1] == f"error: {first}: {said} --input prior=NUMBER or --input prior=FILE.npy"
    assert list(tmp_path.iterdir()) == []


def test_the_int8_model_has_the_same_inputs(place: Path, int8: Path) -> None:
    before, after = (onnx.load(path).graph for path in (place / "m.onnx", int8))
    assert list(after.input) == list(before.input)


def test_a_file_is_a_constant_too(quantseg: Command, place: Path, tmp_path: Path) -> None:
    """Equal constants give equal bytes, however they are given."""
    np.save(tmp_path / "p.npy", np.full_like(feeds(0)["prior"], 0.5))
    written = []
    for number, prior in enumerate((tmp_path / "p.npy", "0.5", "5e-1")):
        target = tmp_path / f"{number}.onnx"
        start = ("quantize", place / "m.onnx", "--data", place / "images", *FAST, "-o", target)
        done = quantseg(*start, "--input", f"prior={prior}", *CONSTANTS[2:])
        assert done.code == 0, done.err
        written.append(target.read_bytes())
    assert len(set(written)) == 1


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--input", "prior"), "--input 'prior' has no value; give NAME=NUMBER or NAME=FILE.npy"),
        (("--input", "=3"), "--input '=3' has no name; give NAME=NUMBER or NAME=FILE.npy"),
        (("--input", "a=1", "--input", "a=2"), "--input a was given twice; give it once"),
        (("--input", "a=1"), "m.onnx: --input names 'a', which is no input; beside the image it has 'prior' float32 "),
        (("--input", "x=1"), "m.onnx: --input names 'x', which takes the images; leave it out"),
        (("--input", "prior=no.npy"), "no.npy: no such file for input 'prior'; give a number or an .npy file"),
        (("--input-name", "y"), "m.onnx: input.name: no input 'y'; the model has 'prior' float32 1x1x12x16, "),
        (
            ("--input-name", "scale"),
            "m.onnx: input.name: input 'scale' float32 1 takes no image; name one of four axes",
        ),
    ],
)
def test_a_constant_or_name_that_does_not_fit_is_one_line(
    flags: tuple[str, ...], message: str, quantseg: Command, place: Path, tmp_path: Path
) -> None:
    done = quantseg("quantize", place / "m.onnx", "--data", place / "images", "-o", tmp_path / "o.onnx", *flags)
    assert done.code == 2
    assert message in done.err.splitlines()[-1].replace(f"{place}/", "")
    assert not (tmp_path / "o.onnx").exists()


def test_what_files_and_a_flag_both_give_is_one_line(quantseg: Command, place: Path, tmp_path: Path) -> None:
    done = quantseg("calibrate", place / "m.onnx", "--data", place / "npz", *CONSTANTS, "-o", tmp_path / "c.json")
    fact = "holds input 'prior', which --input gives too; leave one out"
    assert (done.code, done.err.splitlines()[-1]) == (2, f"error: 0.npz: {fact}")


def test_a_calibration_of_other_constants_is_refused(quantseg: Command, place: Path, tmp_path: Path) -> None:
    start = ("--data", place / "images", "-o", tmp_path / "c.json")
    assert quantseg("calibrate", place / "m.onnx", *start, *CONSTANTS).code == 0
    again = ("quantize", place / "m.onnx", "--calibration", tmp_path / "c.json", "-o", tmp_path / "o.onnx")
    assert quantseg(*again, *CONSTANTS).code == 0
    done = quantseg(*again, *CONSTANTS[:3], "scale=1")
    assert done.code == 2
    assert done.err.endswith("c.json: was made with other constants; give the same --input, or calibrate again\n")


def test_the_input_that_takes_the_image_can_be_named(quantseg: Command, place: Path, tmp_path: Path) -> None:
    """The map of one channel takes grey images; x is then a constant. The written model tells it to later commands."""
    flags = ("--input-name", "prior", "--input", "x=0.5", "--input", "scale=1")
    target = tmp_path / "o.onnx"
    done = quantseg("quantize", place / "m.onnx", "--data", place / "images", *FAST, "-o", target, *flags)
    assert done.code == 0, done.err
    later = ("evaluate", target, "--reference", place / "m.onnx", "--data", place / "images", *flags[2:])
    done = quantseg(*later)
    assert done.code == 0, done.err


@pytest.mark.slow
def test_a_folded_model_of_a_named_input_is_fed_by_its_own_name(quantseg: Command, place: Path, tmp_path: Path) -> None:
    flags = ("--input", "x=0.5", "--input", "scale=1")
    target = tmp_path / "o.onnx"
    start = ("quantize", place / "m.onnx", "--data", place / "images", *FAST, "-o", target, "--fold-preprocess")
    assert quantseg(*start, "--input-name", "prior", *flags).code == 0
    done = quantseg("evaluate", target, "--reference", place / "m.onnx", "--data", place / "images", *flags)
    assert done.code == 0, done.err
    start = ("report", place / "m.onnx", "--data", place / "images", *FAST, "--rounds", 1, "-o", tmp_path)
    done = quantseg(*start, "--fold-preprocess", "--no-images", *CONSTANTS)
    assert done.code == 0, done.err
    text = (tmp_path / "m/report.md").read_text()
    assert "Judged: output 'y', not 'aux'." in text
    assert "| input prior " in text


@pytest.mark.slow
def test_a_size_may_be_an_input(quantseg: Command, tmp_path: Path) -> None:
    """What is counted and timed is of the size that the data say, or of ones."""
    text = """<ir_version: 8, opset_import: ["": 17]> g (float[1,3,12,16] x, int64[2] hw) => (float[1,3,h,w] y) {
        a = Conv<pads=[1,1,1,1]>(x, w0) r = Relu(a) l = Conv(r, w1)
        size = Concat<axis=0>(front, hw) y = Resize<mode="linear">(l, , , size) }"""
    weights = {"w0": kernel(8, 3, 3, 3, seed=1), "w1": kernel(3, 8, 1, 1, seed=2), "front": np.array([1, 3])}
    model = saved(graphs.parse(text, **weights), tmp_path / "m.onnx")
    (tmp_path / "npz").mkdir()
    for number in range(3):
        np.savez(tmp_path / f"npz/{number}.npz", x=feeds(number)["x"], hw=np.array([24, 32]))
    images, target = write_images(tmp_path / "images", 3), tmp_path / "o.onnx"
    for data in ((tmp_path / "npz",), (images, "--input", f"hw={_sizes(tmp_path)}")):
        done = quantseg("quantize", model, "-o", target, "--data", *data)
        assert done.code == 0, done.err
        done = quantseg("simulate", target, "--against", "onnxruntime", "--data", *data)
        assert done.code == 0, done.err
        done = quantseg("sensitivity", model, "--no-left-float", "--data", *data)
        assert done.code == 0, done.err
    done = quantseg("benchmark", model, target, "--rounds", 1, "--runs", 1)
    assert done.code == 0, done.err


def _sizes(folder: Path) -> Path:
    np.save(folder / "hw.npy", np.array([24, 32]))
    return folder / "hw.npy"
