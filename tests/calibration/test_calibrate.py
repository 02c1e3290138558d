"""A model observed on images: ranges chosen, unfinished work continued only where it fits."""

from pathlib import Path
from typing import Any

import pytest

from quantseg import api, graph
from quantseg.calibration import file as calibrations
from quantseg.calibration.calibrate import calibrate, ranges_of, read_calibration
from quantseg.calibration.choosing import Choice, choose_ranges
from quantseg.calibration.file import Calibration
from quantseg.data import Dataset
from quantseg.data.sources import opener
from quantseg.errors import CalibrationError
from quantseg.quantization.float_model import FloatModel, RecipeSource
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT8
from tests.conftest import SIZE
from tests.support import graphs
from tests.support.candidates import context


@pytest.fixture(scope="module")
def loaded(float_model: Path) -> FloatModel:
    return api.load(float_model)


@pytest.fixture(scope="module")
def data(loaded: FloatModel, images: Path) -> Dataset:
    return opener(images)(loaded.recipe, loaded.input)


@pytest.fixture(scope="module")
def done(loaded: FloatModel, data: Dataset) -> Calibration:
    return calibrate(loaded, Choice(), context(data))


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "entropy", "mse"])
def test_every_calibrator_stays_within_what_was_seen(loaded: FloatModel, data: Dataset, calibrator: str) -> None:
    done = calibrate(loaded, Choice(calibrator), context(data))
    assert done.table.calibrator == calibrator
    assert set(done.table.ranges) == set(done.observations.histograms)
    for name, span in done.table.ranges.items():
        seen = done.observations.histograms[name]
        assert min(seen.minimum, 0) <= span.minimum <= span.maximum <= max(seen.maximum, 0)


def test_the_table_names_its_model_its_grid_and_how_many_images(loaded: FloatModel, data: Dataset) -> None:
    table = calibrate(loaded, Choice("minmax", qtype=INT8, symmetric=True), context(data)).table
    assert (table.model, table.qtype, table.symmetric, table.images) == (loaded.digest, INT8, True, len(data.names))


@pytest.mark.parametrize(("threads", "left"), [(1, 0), (2, 3)])
def test_unfinished_work_counts_only_where_it_fits(
    loaded: FloatModel, data: Dataset, done: Calibration, tmp_path: Path, threads: int, left: int
) -> None:
    """Of the same thread count, every image; of another one, whose kernels round otherwise, none."""
    partial = tmp_path / "partial"
    calibrations.write(done, partial)
    totals: list[int] = []

    def counted(items: Any, *, total: int, what: str) -> Any:
        totals.append(total)
        return items

    calibrate(loaded, Choice(), context(data, threads=threads, track=counted), partial=partial)
    assert totals == [left]


def test_a_damaged_partial_file_is_started_anew(
    loaded: FloatModel, data: Dataset, done: Calibration, tmp_path: Path
) -> None:
    partial = tmp_path / "partial"
    partial.write_text("{")
    assert calibrate(loaded, Choice(), context(data), partial=partial).table == done.table


def test_a_model_without_integer_forms_cannot_be_calibrated(tmp_path: Path, images: Path) -> None:
    path = tmp_path / "m.onnx"
    body = "p = MaxPool<kernel_shape=[1,1]>(x) y = Tanh(p)"
    path.write_bytes(graph.to_bytes(graphs.graph(body, x=f"float[1,3,{SIZE},{SIZE}]", y="float[1,3,H,W]")))
    read = api.load(path)
    with pytest.raises(CalibrationError, match=r"m\.onnx: none of its operators has an integer form"):
        calibrate(read, Choice(), context(opener(images)(read.recipe, read.input)))


def test_a_calibration_of_another_model_or_recipe_is_refused(
    float_model: Path, done: Calibration, loaded: FloatModel, tmp_path: Path
) -> None:
    path = tmp_path / "calibration.json"
    calibrations.write(done, path)
    assert read_calibration(path, loaded).table == done.table
    small = graphs.graph("y = Conv(x, w)", x="float[1,3,8,8]", y="float[1,2,8,8]", w=graphs.noise(2, 3, 1, 1))
    other = api.load(graph.to_bytes(small))
    with pytest.raises(CalibrationError, match="was made from another model than the model; calibrate again"):
        read_calibration(path, other)
    scaled = api.load(float_model, RecipeSource(flags={"mean": (0.5,)}))
    with pytest.raises(CalibrationError, match="was made with other preprocessing; calibrate again with this recipe"):
        read_calibration(path, scaled)


def test_ranges_are_the_calibrations_own_unless_grid_or_choice_are_others(done: Calibration) -> None:
    plain, other = QuantSettings(), QuantSettings(activation=INT8, symmetric=True)
    assert ranges_of(done, plain, None) is done.table
    for settings, choice in ((other, None), (plain, Choice("mse")), (other, Choice("mse"))):
        wanted = (choice or Choice()).with_grid(settings)
        assert ranges_of(done, settings, choice) == choose_ranges(done.observations, done.model, wanted)
    with pytest.raises(CalibrationError, match="'guess' is no calibrator"):
        ranges_of(done, plain, Choice("guess"))
