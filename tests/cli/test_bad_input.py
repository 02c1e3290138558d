"""What a user can get wrong: one clear line with the fact and the remedy, exit code 2, and no file touched."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

from quantseg.graph import to_bytes
from tests.conftest import CLASSES, SIZE
from tests.support import graphs, models
from tests.support.command_line import Command

Prepare = Callable[[Path], str]


@pytest.fixture
def place(float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with net.onnx and data/."""
    shutil.copyfile(float_model, tmp_path / "net.onnx")
    shutil.copytree(images, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def contents(place: Path) -> dict[str, bytes | None]:
    """Every file and folder, with what it holds."""
    return {
        path.relative_to(place).as_posix(): path.read_bytes() if path.is_file() else None for path in place.rglob("*")
    }


def refused(quantseg: Command, place: Path, command: str, debug: bool = False) -> str:
    """The message of a command that fails as it should."""
    before = contents(place)
    outcome = quantseg(*command.split())
    assert outcome.code == 2
    assert contents(place) == before
    (line,) = (line for line in outcome.err.splitlines() if not line.startswith("note: "))
    assert line.startswith("error: ")
    assert outcome.out == ""
    return line.removeprefix("error: ")


def write(name: str, content: bytes) -> Prepare:
    def prepare(place: Path) -> str:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(content)
        return name

    return prepare


def folder(name: str) -> Prepare:
    def prepare(place: Path) -> str:
        (place / name).mkdir()
        return name

    return prepare


def truncated(place: Path) -> str:
    content = (place / "net.onnx").read_bytes()
    (place / "m.onnx").write_bytes(content[: len(content) // 2])
    return "m.onnx"


def network(body: str, x: str = f"float[1,3,{SIZE},{SIZE}]", **weights: np.ndarray) -> Prepare:
    """m.onnx: y = body(x)."""
    return write("m.onnx", to_bytes(graphs.graph(body, x=x, y=x.replace(",3,", ",2,"), **weights)))


def quantised(place: Path) -> str:
    text = f"""<ir_version: 8, opset_import: ["": 13]> g (float[1,3,{SIZE},{SIZE}] x) => (float[1,3,{SIZE},{SIZE}] y)
        {{ q = QuantizeLinear(x, s, z) y = DequantizeLinear(q, s, z) }}"""
    model = graphs.parse(text, s=np.array(0.1, np.float32), z=np.array(0, np.uint8))
    return write("m.onnx", to_bytes(model))(place)


def external(place: Path) -> str:
    """Weights that claim to lie outside the model's folder."""
    (place / "secret.bin").write_bytes(bytes(1 << 16))
    model = onnx.load(place / "net.onnx")
    tensor = model.graph.initializer[0]
    length = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    for key, value in (("location", "../secret.bin"), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    (place / "sub").mkdir()
    onnx.save(model, place / "sub/m.onnx")
    return "sub/m.onnx"


WEIGHTS = graphs.noise(2, 3, 1, 1)

MODELS: dict[str, tuple[Prepare, str]] = {
    "missing": (lambda place: "m.onnx", "m.onnx: no such file; check the path"),
    "truncated": (truncated, "m.onnx: not an ONNX model, or cut short; copy or export it again"),
    "another kind of file": (write("m.onnx", b"\x89PNG\r\n\x1a\n, not a model"), "m.onnx: not an ONNX model"),
    "empty": (write("m.onnx", b""), "m.onnx: is empty; copy or export it again"),
    "a folder": (folder("m.onnx"), "m.onnx: is a folder; give the .onnx file inside it"),
    "no image": (
        network("y = MatMul(x, w)", "float[1,3]", w=graphs.noise(3, 2)), "m.onnx: no image-like input: it has"
    ),
    "quantised": (quantised, "m.onnx: is quantised already; give the float model it was made from"),
    "nothing to quantise": (
        network("y = Slice(x, s, e, e)", s=np.array([0]), e=np.array([1])),
        "m.onnx: none of its operators has an integer form; there is nothing to quantise",
    ),
    "NaN weights": (
        network("a = Conv(x, w) y = Relu(a)", w=WEIGHTS * np.float32("nan")),
        "y: NaN in this tensor on image 0.png; check the preprocessing and the model",
    ),
    "overflow": (
        network("a = Conv(x, w) y = Mul(a, a)", w=WEIGHTS * np.float32(1e30)),
        "y: infinity in this tensor on image 0.png; check the preprocessing and the model",
    ),
    "weights from elsewhere": (external, "sub/m.onnx: tensor 'w0' keeps its data in '../secret.bin', outside"),
}  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("command", ["quantize {} --data data", "calibrate {} --data data", "report {} --data data"])
def test_a_bad_model(quantseg: Command, place: Path, name: str, command: str) -> None:
    prepare, message = MODELS[name]
    assert refused(quantseg, place, command.format(prepare(place))).startswith(message)


@pytest.mark.parametrize("name", ["missing", "truncated", "another kind of file", "empty", "a folder", "no image"])
@pytest.mark.parametrize("command", ["evaluate {} --data data", "compare {} --data data"])
def test_a_bad_model_to_measure(quantseg: Command, place: Path, name: str, command: str) -> None:
    prepare, message = MODELS[name]
    assert refused(quantseg, place, command.format(prepare(place))).startswith(message)


@pytest.mark.parametrize("name", ["missing", "truncated", "another kind of file", "empty", "a folder"])
@pytest.mark.parametrize(
    "command", ["inspect {}", "benchmark net.onnx {}", "evaluate net.onnx --data data --reference {}"]
)
def test_a_bad_model_to_run(quantseg: Command, place: Path, name: str, command: str) -> None:
    prepare, message = MODELS[name]
    assert refused(quantseg, place, command.format(prepare(place))).startswith(message)


def mask(size: tuple[int, int], label: int) -> Prepare:
    def prepare(place: Path) -> str:
        Image.fromarray(np.full(size, label, np.uint8)).save(place / "data/masks/1.png")
        return "data"

    return prepare


def arrays(array: np.ndarray) -> Prepare:
    def prepare(place: Path) -> str:
        (place / "arrays").mkdir()
        np.save(place / "arrays/a.npy", array)
        return "arrays"

    return prepare


DATA: dict[str, tuple[Prepare, str]] = {
    "missing": (lambda place: "d", "d: no such folder; give a folder of images or .npy arrays"),
    "empty": (folder("d"), "d: no images or arrays in it; put in files of"),
    "a file": (write("d", b""), "d: a file, not a folder; give the folder that it lies in"),
    "unreadable image": (write("data/images/1.png", b"GIF"), "data/images/1.png: not an image that Pillow can read"),
    "mask of another size": (mask((SIZE, SIZE // 2), 0), f"{SIZE}x{SIZE // 2} for 1.png of {SIZE}x{SIZE}; make them"),
    "class out of range": (mask((SIZE, SIZE), CLASSES), f"class id {CLASSES} is not in 0…{CLASSES - 1}; correct"),
    "wrong channels": (
        arrays(np.zeros((1, 4, SIZE, SIZE), np.float32)),
        f"arrays/a.npy: 4 channels at axis 1, input 'x' float32 1x3x{SIZE}x{SIZE} takes 3; save it as NCHW",
    ),
    "wrong type": (arrays(np.zeros((1, 3, SIZE, SIZE))), "arrays/a.npy: float64 values, input 'x' float32"),
    "NaN": (arrays(np.full((1, 3, SIZE, SIZE), np.float32("nan"))), "NaN"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", DATA)
@pytest.mark.parametrize("command", ["evaluate net.onnx --data {}", "compare net.onnx --data {} --rounds 1"])
def test_bad_data(quantseg: Command, place: Path, name: str, command: str) -> None:
    prepare, message = DATA[name]
    data = prepare(place)
    if data.startswith("data/"):
        data = "data"
    assert message in refused(quantseg, place, command.format(data))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["missing", "empty", "unreadable image", "wrong channels", "NaN"])
@pytest.mark.parametrize("workers", [1, 2])
def test_bad_data_to_calibrate_on(quantseg: Command, place: Path, name: str, workers: int) -> None:
    prepare, message = DATA[name]
    data = prepare(place).split("/")[0]
    assert message in refused(quantseg, place, f"calibrate net.onnx --data {data} --workers {workers}")


WORDS = {
    "--data data --output data": "data: is a folder; give a file name",
    "--data data --output net.onnx/int8.onnx": "net.onnx/int8.onnx: net.onnx is a file, not a folder; choose",
    "--data data --output ./net.onnx": "net.onnx: is another file of this command already; choose another name",
    "--data data --json data": "data: is a folder; give a file name",
    "--data data --output a --json a": "a: is another file of this command already; choose another name",
    "--data data --calibration c.json": "give either images with --data or a calibration file with --calibration",
    "": "give either images with --data or a calibration file with --calibration",
    "--calibration c.json": "c.json: cannot be read (No such file or directory); give a calibration file",
    "--calibration net.onnx": "net.onnx: is not a calibration file; make one with quantseg calibrate",
    "--data data --calibrator best": "'best' is no calibrator; choose one of minmax, percentile, entropy, mse",
    "--data data --calibrator percentile --percentile 101": "percentile 101.0 is outside (50, 100]",
    "--data data --calibrator mse --percentile 99": "a percentile was given to the mse calibrator; use --calibrator",
    "--data data --format tflite": "'tflite' is no format; choose one of qdq, qoperator",
    "--data data --activation-type float": "'float' is no integer type; choose uint8 or int8",
    "--data data --activation-type int4": "int4 activations: no kernel takes them; choose uint8 or int8",
    "--data data --full-range-weights --reduce-range": "--full-range-weights and --reduce-range contradict each other",
    "--data data --include Cnov": "--include 'Cnov': no node has this name or type; quantize --dry-run -v",
    "--data data --exclude conv*1 --exclude z*": "--exclude 'z*': no node has this name or type",
    "--data data --include MaxPool": "every node stays float, so nothing would be gained; include more nodes",
    "--data data --recipe r.toml": "r.toml: cannot be read (No such file or directory); give a recipe",
    "--data data --size 12by3": "size: '12by3' is not a size; give HEIGHTxWIDTH",
    "--data data --size 16x16": f"net.onnx: input.size: 16x16 contradicts input 'x' float32 1x3x{SIZE}x{SIZE}",
    "--data data --channels RBG": "input.channels: 'RBG' is not allowed; give one of RGB, BGR, GRAY",
    "--data data --mean one": "'one' is not a list of numbers; give them as 0.485,0.456,0.406",
    "--data data --std 0": "input.std: (0.0,) is not allowed; give one positive number, or one per channel",
    "--data data --head max": "output.head: 'max' is not allowed; give one of argmax, threshold, multilabel, labels",
}  # fmt: skip


@pytest.mark.parametrize("words", WORDS)
def test_bad_words(quantseg: Command, place: Path, words: str) -> None:
    assert refused(quantseg, place, f"quantize net.onnx {words}").startswith(WORDS[words])


COMMANDS = {
    "calibrate net.onnx": "no images: give a folder with --data",
    "calibrate net.onnx other.onnx --data data": "2 models were given; calibrate one at a time, or merge with --merge",
    "calibrate --merge net.onnx": "--merge needs two calibration files or more",
    "calibrate net.onnx --data data --output net.onnx": "net.onnx: is another file of this command already",
    "benchmark net.onnx net.onnx": "a model was given twice; give each one once",
    "benchmark net.onnx --runtime tflite": "'tflite' is no runtime; choose onnxruntime, onnxruntime-web",
    "benchmark net.onnx --json net.onnx": "net.onnx: is another file of this command already",
    "inspect net.onnx --json net.onnx": "net.onnx: is another file of this command already",
    "evaluate net.onnx --data data --output-name z": "net.onnx: output.name: no output 'z'; the model has 'y' float32",
    "compare net.onnx --data data --calibrator best": "'best' is no calibrator; choose one of minmax",
    "report net.onnx": "no images: give a folder with --data",
    "report net.onnx --data data --output net.onnx": "net.onnx/index.html: net.onnx is a file, not a folder",
    "report net.onnx --data data --name ../x": "--name '../x': is no plain folder name; choose the place with --output",
    "report net.onnx --data data --calib data --calibration c": "calibration was given twice; give either --calib or",
    "demo --output net.onnx": "net.onnx/cells_unet.onnx: net.onnx is a file, not a folder; choose another place",
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_bad_commands(quantseg: Command, place: Path, command: str) -> None:
    assert refused(quantseg, place, command).startswith(COMMANDS[command])


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (b"[input]\nsise = [8, 8]\n", "r.toml: input: unknown key 'sise'; did you mean 'size'? allowed: size, layout"),
        (b"[inputs]\n", "r.toml: unknown table 'inputs'"),
        (b"[input", "r.toml: not TOML"),
        (b"\xff\xfe", "r.toml: cannot be read (it is no UTF-8 text); give a recipe in TOML"),
        (b"[input]\nstd = 'wide'\n", "r.toml: input.std"),
    ],
)
def test_a_bad_recipe(quantseg: Command, place: Path, recipe: bytes, message: str) -> None:
    (place / "r.toml").write_bytes(recipe)
    assert refused(quantseg, place, "quantize net.onnx --data data --recipe r.toml").startswith(message)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda text: text.replace('"sha256": "', '"sha256": "0', 1), "c.json: was made from another model"),
        (lambda text: text.replace("bilinear", "nearest", 1), "c.json: was made with other preprocessing"),
        (lambda text: text[: len(text) // 2], "c.json: is not a calibration file; make one with quantseg calibrate"),
        (lambda text: text.replace('"version": 1', '"version": 99', 1), "c.json: is of another format or version"),
    ],
)  # fmt: skip
def test_a_calibration_file_that_does_not_fit(
    quantseg: Command, place: Path, changed: Callable[[str], str], message: str
) -> None:
    file = place / "c.json"
    assert quantseg("calibrate", "net.onnx", "--data", "data", "--output", file, "--calibrator", "minmax").code == 0
    file.write_text(changed(file.read_text()))
    assert refused(quantseg, place, "quantize net.onnx --calibration c.json").startswith(message)


def test_images_that_would_count_twice(quantseg: Command, place: Path) -> None:
    assert quantseg("calibrate", "net.onnx", "--data", "data", "--output", "c.json").code == 0
    message = refused(quantseg, place, "calibrate --merge c.json c.json --output d.json")
    assert message == "0.png: was observed in both parts and would count twice; leave one out"


def test_a_model_of_free_size_without_a_size(quantseg: Command, place: Path) -> None:
    model = graphs.graph("y = Conv(x, w)", x="float[1,3,H,W]", y="float[1,2,H,W]", w=WEIGHTS)
    (place / "free.onnx").write_bytes(to_bytes(model))
    for command in ("quantize free.onnx --data data", "inspect free.onnx", "benchmark free.onnx"):
        assert "--size HxW" in refused(quantseg, place, command)


def test_debug_shows_the_traceback(quantseg: Command, place: Path) -> None:
    from quantseg.errors import ModelError

    with pytest.raises(ModelError, match=r"m\.onnx: no such file"):
        quantseg("quantize", "m.onnx", "--data", "data", "--debug")


def test_a_write_that_fails_leaves_the_old_file(
    quantseg: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up while the model is written."""
    (place / "net.int8.onnx").write_bytes(b"old")

    def full(self: Path, content: bytes) -> int:
        self.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", full)
        before = contents(place)
        outcome = quantseg("quantize", "net.onnx", "--data", "data", "--calibrator", "minmax", "--force")
    assert outcome.code == 2
    assert outcome.err.splitlines()[-1] == (
        "error: net.int8.onnx: cannot be written (No space left on device); choose another place"
    )
    assert contents(place) == before


def test_a_killed_write_leaves_no_temporary_file(
    quantseg: Command, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Path, content: bytes) -> int:
        self.touch()
        raise KeyboardInterrupt

    before = contents(place)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "write_bytes", interrupted)
        assert quantseg("quantize", "net.onnx", "--data", "data", "--calibrator", "minmax").code == 130
    assert contents(place) == before


def test_the_model_that_is_read_is_never_written(quantseg: Command, place: Path) -> None:
    before = (place / "net.onnx").read_bytes()
    assert quantseg("quantize", "net.onnx", "--data", "data").code == 0
    assert (place / "net.onnx").read_bytes() == before
    assert models.run(before, {"x": np.zeros((1, 3, SIZE, SIZE), np.float32)})
