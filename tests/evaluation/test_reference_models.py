from importlib.machinery import ModuleSpec
from pathlib import Path

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from quantseg.data.recipe import Recipe, complete
from quantseg.errors import DataError, MissingExtraError
from quantseg.evaluation.reference_models import (
    CELL_INSTANCES,
    DATA_KEY,
    DATA_SETS,
    DEMO,
    INSTANCE_MODELS,
    data_of,
    demo_model,
    open_parts,
    reference_models,
    split_fifth,
)
from quantseg.graph import TensorSpec
from tests.support import models

INPUT = TensorSpec("x", "float32", (1, 3, 8, 8))
RECIPE = complete(Recipe(), [INPUT], [TensorSpec("y", "float32", (1, 12, 8, 8))], model="m")
names = st.lists(st.text("ab/.", min_size=1), unique=True)


@given(names)
def test_a_split_parts_all_names_and_holds_a_fifth_out(given_names: list[str]) -> None:
    training, held_out = split_fifth(given_names)
    assert sorted(training + held_out) == sorted(given_names)
    assert len(held_out) == len(given_names) // 5
    assert all(sorted(given_names).index(name) % 5 == 4 for name in held_out)


@given(names, st.randoms())
def test_a_split_does_not_depend_on_the_order(given_names: list[str], random: object) -> None:
    shuffled = given_names.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert split_fifth(shuffled) == split_fifth(given_names)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """12 training and 7 validation images of roads, 12 white blood cells; all with masks."""
    for folder, count in (("camvid/train", 12), ("camvid/val", 7), ("wbc", 12)):
        for part in ("images", "masks"):
            (tmp_path / folder / part).mkdir(parents=True)
            for number in range(count):
                pixels = Image.new("RGB" if part == "images" else "L", (8, 8), number if part == "masks" else None)
                pixels.save(tmp_path / folder / part / f"{number:02}.png")
    return tmp_path


def numbers(dataset: object) -> list[int]:
    return [int(Path(name).stem) for name in dataset.names]  # type: ignore[attr-defined]


@pytest.mark.parametrize("data", DATA_SETS)
def test_nothing_is_judged_that_was_calibrated_on(root: Path, data: str) -> None:
    calibrating, judging = open_parts(root, data, RECIPE, INPUT, limit=100)
    assert len(calibrating.names) >= 10
    files = [
        {(root / data).joinpath(part.calibration if k == 0 else part.validation, name) for name in dataset.names}
        for part in [DATA_SETS[data]]
        for k, dataset in enumerate((calibrating, judging))
    ]
    assert not files[0] & files[1]
    assert calibrating.load(0).mask is None
    for index, number in enumerate(numbers(judging)):
        mask = judging.load(index).mask
        assert mask is not None
        assert set(mask.ravel()) == {number}


def test_a_limit_spreads_evenly_over_each_part(root: Path) -> None:
    parts = [numbers(part) for part in open_parts(root, "wbc", RECIPE, INPUT, limit=2)]
    assert parts == [[0, 6], [4, 9]]
    parts = [numbers(part) for part in open_parts(root, "camvid", RECIPE, INPUT, limit=3)]
    assert parts == [[0, 4, 8], [0, 2, 4]]


def test_labels_are_left_alone_where_nobody_asks(root: Path) -> None:
    _, judging = open_parts(root, "wbc", RECIPE, INPUT, limit=2, masks=False)
    assert judging.load(0).mask is None


def test_a_part_that_is_missing_is_named(tmp_path: Path) -> None:
    (tmp_path / "camvid").mkdir()
    with pytest.raises(DataError, match="train: no such folder"):
        open_parts(tmp_path, "camvid", RECIPE, INPUT, limit=2)


def test_a_model_names_its_data_in_its_metadata(tmp_path: Path) -> None:
    model = models.unet(base=2, depth=1, size=8)
    onnx.save(model, tmp_path / "plain.onnx")
    onnx.helper.set_model_props(model, {DATA_KEY: "wbc"})
    onnx.save(model, tmp_path / "wbc.onnx")
    assert data_of(tmp_path / "plain.onnx") is None
    assert data_of(tmp_path / "wbc.onnx") == "wbc"


def test_the_reference_models_are_found() -> None:
    found = reference_models()
    assert "cells_unet" in found
    assert all(path.is_file() for path in found.values())


def test_those_of_instances_are_found_where_they_are_asked_for() -> None:
    masks, found = reference_models(), reference_models(instances=True)
    assert sorted({*masks, *INSTANCE_MODELS}) == list(found)
    assert not set(masks) & set(INSTANCE_MODELS)
    assert {data_of(found[name]) for name in INSTANCE_MODELS} == {CELL_INSTANCES}


def test_the_demo_model_is_one_of_them_in_a_checkout() -> None:
    assert demo_model() == reference_models()[DEMO]


def test_missing_reference_models_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantseg.evaluation.reference_models.find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="not installed; pip install quantseg-zoo, or name a model"):
        reference_models()


def test_a_package_without_weights_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Python may find any folder called reference_models."""
    (tmp_path / "reference_models").mkdir()
    (tmp_path / "quantseg_zoo/weights").mkdir(parents=True)
    (tmp_path / "quantseg_zoo/weights/net.onnx").touch()

    def find_spec(name: str) -> ModuleSpec:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = [str(tmp_path / name)]
        return spec

    monkeypatch.setattr("quantseg.evaluation.reference_models.find_spec", find_spec)
    assert reference_models() == {"net": tmp_path / "quantseg_zoo/weights/net.onnx"}
