"""A model of several inputs is observed like its twins of one: all of them are tensors with ranges."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantseg as qs
from quantseg import api, graph
from quantseg.calibration.calibrate import calibrate
from quantseg.calibration.choosing import Choice
from quantseg.calibration.file import merge
from quantseg.data.sources import opener
from quantseg.errors import CalibrationError
from quantseg.quantization.float_model import FloatModel, RecipeSource
from tests.support import graphs
from tests.support.candidates import context
from tests.support.several_inputs import (
    SIZE,
    all_feeds,
    feeds,
    one_input,
    saved,
    tensor_of,
    three_inputs,
    write_images,
    write_npz,
)

CONSTANTS = {"prior": 0.5, "scale": 0.25}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> FloatModel:
    return api.load(saved(three_inputs(), tmp_path_factory.mktemp("model") / "m.onnx"))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("images"))


def test_every_input_is_observed_and_the_ranges_are_those_of_runs_by_hand(model: FloatModel, tmp_path: Path) -> None:
    found = qs.calibrate(model, write_npz(tmp_path)).calibration.observations.histograms
    inner = [name for name in found if name not in feeds(0)]
    exposed = graph.expose(model.prepared.model, inner)
    runs = [dict(zip(inner, graphs.run(exposed, one), strict=True)) | one for one in all_feeds()]
    assert {"x", "prior", "r", "y", "aux"} <= found.keys()
    for name, seen in found.items():
        every = np.concatenate([run[name].reshape(-1) for run in runs])
        assert seen.minimum == pytest.approx(every.min(), rel=1e-5, abs=1e-6)
        assert seen.maximum == pytest.approx(every.max(), rel=1e-5)


def test_files_and_dicts_give_the_same_calibration(model: FloatModel, tmp_path: Path) -> None:
    of_files, of_dicts = (
        qs.calibrate(model, data, engine=engine).calibration.table
        for data, engine in ((write_npz(tmp_path), "serial"), (list(all_feeds()), "threads:2"))
    )
    assert of_files == of_dicts


def test_the_ranges_are_those_of_the_twin_of_one_input(model: FloatModel, tmp_path: Path) -> None:
    """The law: the joined input of four channels, observed as a tensor or as an input, is the same."""
    data = [one | {"scale": np.ones(1, np.float32)} for one in all_feeds()]
    several = qs.calibrate(model, data).calibration
    joined = [np.concatenate([one["x"], one["prior"]], axis=1) for one in data]
    alone = qs.calibrate(saved(one_input(), tmp_path / "one.onnx"), joined).calibration
    common = several.table.ranges.keys() & alone.table.ranges.keys()
    assert common == {"r", "s", "y"}
    for name in common:
        assert several.table.ranges[name] == alone.table.ranges[name]
        assert several.observations.histograms[name].counts.tolist() == (
            alone.observations.histograms[name].counts.tolist()
        )


def test_a_constant_is_the_same_as_an_initializer(model: FloatModel, images: Path, tmp_path: Path) -> None:
    full = {"prior": np.full_like(feeds(0)["prior"], 0.5), "scale": np.array([0.25], np.float32)}
    by_input = qs.calibrate(model, images, inputs=CONSTANTS).calibration.table
    folded = qs.calibrate(saved(three_inputs(fixed=full), tmp_path / "m.onnx"), images).calibration.table
    common = folded.ranges.keys() & by_input.ranges.keys()
    assert {"x", "r", "s", "y", "aux"} <= common
    for name in common:
        wanted = folded.ranges[name]
        assert by_input.ranges[name].minimum == pytest.approx(wanted.minimum, rel=1e-5)
        assert by_input.ranges[name].maximum == pytest.approx(wanted.maximum, rel=1e-5)


def test_an_open_size_is_the_images(images: Path, tmp_path: Path) -> None:
    path = saved(three_inputs(open_sizes=True), tmp_path / "open.onnx")
    loaded = api.load(path, RecipeSource(flags={"size": SIZE}))
    ranges = qs.calibrate(loaded, images, inputs=CONSTANTS).calibration.table.ranges
    x = np.concatenate([tensor_of(place) for place in sorted(images.iterdir())])
    assert ranges["prior"].maximum == 0.5
    assert ranges["x"].maximum == pytest.approx(float(x.max()))


def test_constants_are_part_of_what_a_calibration_is_for(model: FloatModel, images: Path, tmp_path: Path) -> None:
    made = qs.calibrate(model, images, inputs=CONSTANTS)
    path = made.save(tmp_path / "c.json")
    assert qs.quantize(model, path, inputs=CONSTANTS).plan == qs.quantize(model, made, effort="fast").plan
    for other in ({"prior": 0.5, "scale": 0.5}, {"prior": np.float32(0.5)}, {}):
        for data in (path, made.calibration):
            with pytest.raises(CalibrationError, match="was made with other constants; give the same inputs=…, or cal"):
                qs.quantize(model, data, inputs=other)
    other_model = qs.calibrate(model, images, inputs=CONSTANTS | {"scale": 1}).calibration
    with pytest.raises(CalibrationError, match="used different constants; calibrate both with the same inputs=…"):
        merge(made.calibration, other_model)


def test_a_file_without_constants_is_as_it_was(model: FloatModel, tmp_path: Path) -> None:
    content = json.loads(qs.calibrate(model, list(all_feeds())).save(tmp_path / "c.json").read_text())
    assert content["recipe"] == model.recipe.to_toml()


def test_unfinished_work_of_other_constants_is_not_continued(model: FloatModel, images: Path, tmp_path: Path) -> None:
    totals: list[int] = []

    def counted(items: Any, *, total: int, what: str) -> Any:
        totals.append(total)
        return items

    partial = qs.calibrate(model, images, inputs=CONSTANTS, threads=1).save(tmp_path / "partial")
    for constants in (CONSTANTS, CONSTANTS | {"scale": 1.0}):
        read = model.with_inputs(constants)
        data = opener(images)(read.recipe, read.inputs)
        calibrate(read, Choice(), context(data, track=counted), partial=partial)
    assert totals == [0, 4]
