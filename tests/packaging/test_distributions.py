"""The wheel holds the tool and the demo's model, and no other weights; the zoo's makes the reference models found."""

import importlib.util
from dataclasses import replace
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from quantseg.evaluation.reference_models import DEMO, reference_models
from tests.packaging.distributions import DISTRIBUTIONS, contents, faults, hatch
from tests.support.places import ROOT, WEIGHTS

pytest.importorskip("hatchling", reason="packages are built with hatchling; pip install hatchling")

TOOL, ZOO = DISTRIBUTIONS
MODELS = {path.stem for path in WEIGHTS.glob("*.onnx")}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tool's wheel."""
    return hatch(TOOL, "wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference models' wheel."""
    return hatch(ZOO, "wheel", tmp_path_factory.mktemp("zoo"))


def test_the_wheel_holds_the_tool_and_of_the_weights_the_demo_s_alone(wheel: Path) -> None:
    assert faults(wheel, TOOL) == []
    assert [Path(name).stem for name in contents(wheel) if name.endswith(".onnx")] == [DEMO]


def test_the_sdist_holds_what_the_wheel_is_built_from_and_no_tests_or_reports(tmp_path: Path) -> None:
    sdist = hatch(TOOL, "sdist", tmp_path)
    assert faults(sdist, TOOL) == []
    assert {name.split("/")[0] for name in contents(sdist) if "/" in name} == {"quantseg", "reference_models"}


@pytest.mark.slow
def test_the_zoo_holds_all_models_with_their_cards(zoo: Path) -> None:
    assert faults(zoo, ZOO) == []
    for suffix in (".onnx", ".json"):
        assert {Path(name).stem for name in contents(zoo) if name.endswith(suffix)} == MODELS


@pytest.mark.slow
def test_the_zoo_makes_the_reference_models_found(zoo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, content in contents(zoo).items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    monkeypatch.syspath_prepend(tmp_path)

    def without_checkout(name: str) -> ModuleSpec | None:
        return None if name == "reference_models" else importlib.util.find_spec(name)

    monkeypatch.setattr("quantseg.evaluation.reference_models.find_spec", without_checkout)
    found = reference_models(instances=True)
    assert {path.parent for path in found.values()} == {tmp_path / "quantseg_zoo/weights"}
    assert set(found) == MODELS


def test_a_file_that_is_too_large_too_full_or_lacks_a_module_is_told(wheel: Path) -> None:
    lacking = {name: path for name, path in TOOL.files.items() if name != "quantseg/errors.py"}
    assert faults(wheel, replace(TOOL, files=lacking)) == ["holds quantseg/errors.py"]
    more = {**TOOL.files, "quantseg/new.py": ROOT / "README.md", "quantseg/py.typed": ROOT / "README.md"}
    told = ["lacks quantseg/new.py", "quantseg/py.typed is not README.md"]
    assert faults(wheel, replace(TOOL, files=more)) == told
    assert "bytes, more than 1,000" in faults(wheel, replace(TOOL, most_bytes=1000))[0]


def test_the_zoo_carries_the_same_licence_file() -> None:
    assert (ZOO.project / "LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()
