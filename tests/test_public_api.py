"""`import quantseg as qs`: light, complete, every example true, and the same bytes as the command line."""

import ast
import doctest
import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

import quantseg as qs
from quantseg import api
from quantseg.data.sources import opener
from quantseg.errors import CalibrationError, DataError, ModelError, PlanError
from quantseg.runtimes import npm
from tests.support import apps, models, several_inputs
from tests.support.command_line import ROOT, Command

VERBS = (
    "load", "calibrate", "quantize", "search", "sensitivity", "evaluate", "benchmark", "compare", "report", "simulate",
    "explain", "inspect", "check", "ship",
)  # fmt: skip
pytestmark = pytest.mark.usefixtures("quick")
SIZE, CLASSES = 32, 3
RECIPE = '[output]\nhead = "argmax"\nclasses = ["sky", "road", "car"]\n'


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """model.onnx, recipe.toml, calib/ and val/ with masks, and int8.onnx, as the examples find them."""
    folder = tmp_path_factory.mktemp("api")
    onnx.save(models.unet(base=4, depth=2, classes=CLASSES, size=SIZE), folder / "model.onnx")
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    for part, first in (("calib", 0), ("val", 10)):
        for kind in ("images", "masks"):
            (folder / part / kind).mkdir(parents=True)
        for number in range(3):
            random = np.random.default_rng(first + number)
            pixels = random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{part}/images/{number}.png")
            Image.fromarray(random.integers(0, CLASSES, (SIZE, SIZE), np.uint8)).save(
                folder / f"{part}/masks/{number}.png"
            )
    qs.quantize(folder / "model.onnx", folder / "calib", effort="fast").save(folder / "int8.onnx")
    return folder


@pytest.fixture
def here(made: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(made)
    return made


@functools.cache
def arrays(folder: Path) -> tuple[np.ndarray, ...]:
    """The calibration images as the model takes them, without the batch axis."""
    model = qs.load(folder / "model.onnx")
    images = opener(folder / "calib")(model.recipe, model.input)
    return tuple(images.load(index).tensor[0] for index in range(3))


def written(result: qs.QuantizedModel, folder: Path) -> bytes:
    return result.save(folder / "written.onnx").read_bytes()


# What a newcomer meets


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_every_verb_is_true(
    verb: str, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(apps.stand_in(tmp_path)))  # what ship copies
    (test,) = doctest.DocTestFinder(recurse=False).find(getattr(qs, verb), verb, globs={"qs": qs})
    assert test.examples
    outcome = doctest.DocTestRunner(verbose=False).run(test)
    assert outcome.failed == 0


def test_the_readme_example_runs_and_is_short(here: Path) -> None:
    section = (ROOT / "README.md").read_text(encoding="utf-8").split("### From Python", 1)[1]
    code = section.split("```python\n", 1)[1].split("```", 1)[0]
    assert len([line for line in code.splitlines() if line.strip()]) <= 4
    assert code.count("import ") == 1
    exec(compile(code, "README.md", "exec"), {})
    assert (here / "model.int8.onnx").is_file()


@pytest.mark.slow
def test_the_front_door_of_the_design(here: Path, tmp_path: Path) -> None:
    result = qs.quantize("model.onnx", "calib/")
    assert result.save(tmp_path / "model.int8.onnx").is_file()
    assert str(result.plan)
    assert result.notes
    model = qs.load("model.onnx", recipe="recipe.toml")
    calibration = qs.calibrate(model, "calib/", calibrator="percentile:99.99", engine="processes:2")
    small = qs.quantize(
        model, calibration, weights="int4", exclude=["MaxPool"], fold=("preprocess", "argmax"), target="portable"
    )
    assert small.candidate.settings.weight.name == "int4"
    assert small.candidate.ranges.percent == 99.99
    assert small.plan.kept_float
    assert 0.3 < qs.evaluate(model, small, "val/").agreement < 1
    assert qs.evaluate(model, result, "val/").agreement > qs.evaluate(model, small, "val/").agreement


@pytest.mark.slow
def test_values_print_themselves_in_a_few_lines(here: Path) -> None:
    result = qs.quantize("model.onnx", "calib/", effort="fast", exclude="MaxPool")
    values = (
        qs.load("model.onnx"),
        qs.calibrate("model.onnx", "calib/"),
        result,
        result.plan,
        qs.evaluate("model.onnx", result, "val/"),
        qs.benchmark(["model.onnx", "int8.onnx"], rounds=1, runs=2),
        qs.simulate(result, "val/", against="onnxruntime", limit=1),
        qs.explain(result, "conv1"),
        qs.inspect("int8.onnx", runs=2),
        qs.sensitivity("model.onnx", "val/", left_float=False),
        qs.search("model.onnx", "val/", max_iou_drop=90.0, evaluations=2, effort="fast"),
        qs.compare("model.onnx", "val/", rounds=1, effort="fast"),
        qs.report("model.onnx", "val/", rounds=1, effort="fast"),
    )
    for value in values:
        lines = str(value).splitlines()
        assert 1 <= len(lines) <= 8, value
        assert max(map(len, lines)) <= 100, value
        assert not str(value).startswith(f"{type(value).__name__}("), "the dataclass's own form"


# Light and complete


def fresh(program: str) -> str:
    return subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_importing_loads_nothing_heavy() -> None:
    loaded = set(fresh("import sys, quantseg; print(*sorted(sys.modules))").split())
    assert not loaded & {"numpy", "onnx", "onnx_ir", "onnxruntime", "typer", "quantseg.api", "quantseg.errors"}


def test_importing_takes_less_than_a_tenth_of_a_second() -> None:
    """Beside a bare interpreter, in turns; medians, since the machine may be busy; the best of three tries."""

    def seconds(program: str) -> float:
        start = time.perf_counter()
        fresh(program)
        return time.perf_counter() - start

    for _ in range(3):
        pairs = [(seconds("pass"), seconds("import quantseg")) for _ in range(5)]
        extra = statistics.median(after - before for before, after in pairs)
        if extra < 0.1:
            break
    assert extra < 0.1


def test_the_help_lists_all_of_it() -> None:
    assert set(VERBS) < set(qs.__all__) <= set(dir(qs))
    assert all(getattr(qs, name) is not None for name in qs.__all__)
    assert all(getattr(qs, verb) is getattr(api, verb) for verb in VERBS)


def test_type_checkers_see_what_is_loaded() -> None:
    """The imports that only they read say the same as the table."""
    (block,) = (node for node in ast.parse(Path(qs.__file__).read_text()).body if isinstance(node, ast.If))
    seen = {name.name: one.module for one in block.body if isinstance(one, ast.ImportFrom) for name in one.names}
    assert seen == qs._HOMES


@pytest.mark.slow
@pytest.mark.parametrize(
    "program", ["import quantseg.report", "from quantseg.report import tables", "import quantseg.api"]
)
def test_the_room_report_does_not_hide_the_verb(program: str) -> None:
    shown = fresh(f"import quantseg as qs; {program}; print(callable(qs.report), qs.report.__name__)")
    assert shown.split() == ["True", "report"]


def test_unknown_names_are_told() -> None:
    with pytest.raises(AttributeError, match="no attribute 'quantise'"):
        _ = qs.quantise


# Models and data in every form give the same bytes


def test_models_in_every_form_give_the_same_plan(here: Path, tmp_path: Path) -> None:
    path = here / "model.onnx"
    forms = (str(path), path, path.read_bytes(), onnx.load(path), qs.load(path))
    plans = {qs.quantize(form, "calib/", effort="fast").plan.to_json().__repr__() for form in forms}
    assert len(plans) == 1


def batches(folder: Path) -> Iterator[list[np.ndarray]]:
    """What a DataLoader gives: [inputs, labels], each with a batch axis."""
    masks = np.zeros((3, SIZE, SIZE), np.int64)
    for start in (0, 2):
        yield [np.stack(arrays(folder)[start : start + 2]), masks[start : start + 2]]


class Loader:
    """A torch DataLoader as far as it is used: batches of tensors that give themselves through `detach`."""

    class Tensor:
        def __init__(self, values: np.ndarray) -> None:
            self.values = values

        def detach(self) -> "Loader.Tensor":
            return self

        def cpu(self) -> "Loader.Tensor":
            return self

        def numpy(self) -> np.ndarray:
            return self.values

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __iter__(self) -> Iterator[list["Loader.Tensor"]]:
        for batch in batches(self.folder):
            yield [Loader.Tensor(values) for values in batch]


@pytest.mark.slow
@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_images_in_every_form_give_the_same_bytes(effort: str, here: Path, tmp_path: Path) -> None:
    model = qs.load("model.onnx")
    forms = (
        "calib/",
        Path("calib"),
        opener("calib")(model.recipe, model.input),
        list(arrays(here)),
        iter(arrays(here)),
        Loader(here),
        qs.calibrate(model, "calib"),
    )
    found = {written(qs.quantize(model, form, effort=effort), tmp_path) for form in forms}
    assert len(found) == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "flags"),
    [
        ({"effort": "fast"}, ["--effort", "fast"]),
        ({}, []),
        (
            {"effort": "fast", "weights": "int4", "fold": "argmax", "exclude": ["MaxPool"], "symmetric": True},
            ["--effort", "fast", "--weight-type", "int4", "--fold-argmax", "--exclude", "MaxPool", "--symmetric"],
        ),
        (
            {"effort": "fast", "calibrator": "percentile:99.9", "per_channel": False, "format": "qoperator"},
            [
                "--effort",
                "fast",
                "--calibrator",
                "percentile",
                "--percentile",
                "99.9",
                "--per-tensor",
                "--format",
                "qoperator",
            ],
        ),
    ],
)
def test_python_and_the_command_line_write_the_same_bytes(
    words: dict[str, object], flags: list[str], here: Path, tmp_path: Path, quantseg: Command
) -> None:
    ours = written(qs.quantize("model.onnx", "calib", **words), tmp_path)  # type: ignore[arg-type]
    outcome = quantseg("quantize", "model.onnx", "--data", "calib", *flags, "-o", tmp_path / "cli.onnx")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "cli.onnx").read_bytes() == ours


@pytest.mark.slow
def test_search_and_report_write_what_the_command_line_writes(here: Path, tmp_path: Path, quantseg: Command) -> None:
    found = qs.search("model.onnx", "val", max_iou_drop=90.0, evaluations=2, effort="fast")
    words = ("--max-iou-drop", 90, "--evaluations", 2, "--effort", "fast", "-o", tmp_path / "cli.onnx")
    assert quantseg("search", "model.onnx", "--data", "val", *words).code == 0
    assert found.save(tmp_path / "found.onnx").read_bytes() == (tmp_path / "cli.onnx").read_bytes()
    target = tmp_path / "reported.onnx"
    qs.report("model.onnx", "val", calib="calib", rounds=1, effort="fast", int8_model=target)
    assert target.read_bytes() == (here / "int8.onnx").read_bytes()


# Calibrations


def test_a_saved_calibration_stands_for_images(here: Path, tmp_path: Path) -> None:
    path = qs.calibrate("model.onnx", "calib").save(tmp_path / "kept.calibration.json")
    kept = qs.Calibration.read(path)
    fast = (here / "int8.onnx").read_bytes()
    assert written(qs.quantize("model.onnx", path), tmp_path) == fast
    assert written(qs.quantize("model.onnx", str(path)), tmp_path) == fast
    assert written(qs.quantize("model.onnx", kept), tmp_path) == fast
    with pytest.raises(CalibrationError, match="effort=balanced looks at images"):
        qs.quantize("model.onnx", kept, effort="balanced")
    with pytest.raises(CalibrationError, match="target=openvino observes other tensors"):
        qs.quantize("model.onnx", kept, target="openvino")


def test_a_calibration_of_another_model_is_refused(here: Path) -> None:
    calibration = qs.calibrate("model.onnx", "calib")
    other = models.unet(base=4, depth=1, classes=CLASSES, size=SIZE)
    for given in (calibration, calibration.calibration):
        with pytest.raises(CalibrationError, match="from another model"):
            qs.quantize(other, given, effort="fast")
        with pytest.raises(CalibrationError, match="other preprocessing"):
            qs.quantize(qs.load("model.onnx", recipe="recipe.toml"), given, effort="fast")


def test_the_float_models_recipe_serves_a_model_without_one(here: Path) -> None:
    """As that of another tool: without metadata its pixels would be scaled otherwise than the float model's."""
    Path("bytes.toml").write_text(f"[input]\nscale = 1.0\n{RECIPE}", encoding="utf-8")
    model = qs.load("model.onnx", recipe="bytes.toml")
    result = qs.quantize(model, "calib", effort="fast")
    result.save("bytes.onnx")
    bare = onnx.load("bytes.onnx")
    del bare.metadata_props[:]
    assert qs.evaluate(model, bare, "val").agreement == qs.evaluate(model, result, "val").agreement
    assert qs.evaluate(model, bare, "val").agreement != qs.evaluate("model.onnx", bare, "val").agreement


# What is wrong is told


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"colour": 1}, "colour= is no option; choose of activations, "),
        ({"weights": "int3"}, "weights='int3' is no integer type; choose int8, uint8 or int4"),
        ({"fold": "softmax"}, "fold='softmax' is nothing to fold"),
        ({"calibrator": "percentile:high"}, "calibrator=percentile:high has no number"),
        ({"exclude": "nowhere*"}, "exclude='nowhere\\*': no node has this name"),
        ({"latency_first": True}, "latency_first=True belongs to target=ort-cpu"),
        ({"weights": "int4", "per_channel": False}, "leave out per_channel=False"),
        ({"options": qs.Options(), "limit": 2}, "limit= was given beside options="),
    ],
)
def test_wrong_words_are_named_as_they_were_given(words: dict[str, object], message: str, here: Path) -> None:
    with pytest.raises((PlanError, CalibrationError), match=message):
        qs.quantize("model.onnx", "calib", **({"effort": "fast"} | words if "options" not in words else words))  # type: ignore[arg-type]


def test_what_is_no_model_and_no_data_is_told(here: Path) -> None:
    with pytest.raises(DataError, match="data=int: is no data"):
        qs.calibrate("model.onnx", 7)
    with pytest.raises(ModelError, match="int is no model"):
        qs.inspect(7)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"missing\.onnx: no such file"):
        qs.quantize("missing.onnx", "calib")
    with pytest.raises(ModelError, match="is a float model"):
        qs.simulate("model.onnx", "val")


# Several inputs.


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """m.onnx of three inputs, npz/ with all of them, images/ with x alone."""
    folder = tmp_path_factory.mktemp("several")
    several_inputs.saved(several_inputs.three_inputs(), folder / "m.onnx")
    several_inputs.write_npz(folder / "npz")
    several_inputs.write_images(folder / "images")
    return folder


def test_inputs_by_name_are_the_same_from_files_and_from_memory(several: Path, tmp_path: Path) -> None:
    feeds = list(several_inputs.all_feeds())
    forms = (several / "npz", feeds, iter(feeds))
    found = {written(qs.quantize(several / "m.onnx", data, effort="fast"), tmp_path) for data in forms}
    assert len(found) == 1


def test_constants_are_given_with_the_model_or_with_each_call(several: Path, quantseg: Command, tmp_path: Path) -> None:
    prior = np.full((1, 1, *several_inputs.SIZE), 0.5, np.float32)
    path, images = several / "m.onnx", several / "images"
    plain, loaded = qs.load(path), qs.load(path, inputs={"prior": 0.5, "scale": 2})
    forms = (
        qs.quantize(path, images, effort="fast", inputs={"prior": 0.5, "scale": 2}),
        qs.quantize(path, images, effort="fast", inputs={"prior": prior, "scale": [2.0]}),
        qs.quantize(plain, images, effort="fast", inputs={"prior": 0.5, "scale": np.float32(2)}),
        qs.quantize(loaded, images, effort="fast"),
        qs.quantize(plain, qs.calibrate(loaded, images), effort="fast"),
    )
    assert len({written(form, tmp_path) for form in forms}) == 1
    target = tmp_path / "cli.onnx"
    words = ("--data", images, "--effort", "fast", "-o", target, "--input", "prior=0.5", "--input", "scale=2")
    assert quantseg("quantize", path, *words).code == 0
    assert target.read_bytes() == written(forms[0], tmp_path)


def test_every_verb_takes_constants(several: Path) -> None:
    path, images, constants = several / "m.onnx", several / "images", {"prior": 0.5, "scale": 2}
    made = qs.quantize(path, images, effort="fast", inputs=constants)
    assert qs.evaluate(path, made, images, inputs=constants).agreement > 0.8
    assert qs.simulate(made, images, inputs=constants, limit=1).found.sums
    assert qs.inspect(made, inputs=constants, runs=1).nodes
    assert len(qs.benchmark({"a": path, "b": made}, inputs=constants, rounds=1, runs=1)) == 2
    assert qs.sensitivity(path, images, inputs=constants, left_float=False).nodes
    node = next(node.name for node in made.plan.nodes if node.op_type == "Conv")
    assert qs.explain(made, node, data=images, inputs=constants).shape
    with pytest.raises(
        DataError, match=r"^0.png: input 'prior' float32 1x1x12x16 is not given; .* inputs=prior=NUMBER"
    ):
        qs.calibrate(path, images)
