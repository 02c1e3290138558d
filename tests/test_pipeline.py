import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from quantseg.pipeline import CalibrationOptions, FloatModel, RecipeSource

from quantseg import graph, pipeline
from quantseg.data.recipe import METADATA_KEY, recipe_from_toml
from quantseg.errors import CalibrationError, ModelError, RecipeError
from quantseg.evaluation.reference_models import reference_models
from quantseg.mixed_precision import feeds as measuring
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT8
from tests.conftest import SIZE
from tests.support import graphs, models
from tests.support.places import ROOT


@pytest.fixture(scope="module")
def loaded(float_model: Path) -> FloatModel:
    return pipeline.read_float_model(float_model)


def quantised(model: Path, pictures: Path, **options: Any) -> bytes:
    """The bytes of the int8 model, from the file to the end."""
    read = pipeline.read_float_model(model)
    chosen = CalibrationOptions(threads=1, **options)
    table = pipeline.calibrate(read, pipeline.open_data(pictures, read), chosen).table
    return graph.to_bytes(pipeline.quantize(read, table, chosen.settings)[1])


def test_the_int8_model_gives_nearly_the_float_output(float_model: Path, pictures: Path, loaded: FloatModel) -> None:
    content = quantised(float_model, pictures)
    onnx.checker.check_model(onnx.load_from_string(content), full_check=True)
    feed = {"x": pipeline.open_data(pictures, loaded).load(0).tensor}
    expected, actual = models.run(float_model.read_bytes(), feed)[0], models.run(content, feed)[0]
    assert np.square(actual - expected).mean() <= np.square(expected).mean() * 10**-2.5


def test_the_same_input_gives_the_same_bytes(float_model: Path, pictures: Path) -> None:
    """Twice here, with two workers, and in another process whose sets and dicts hash otherwise."""
    program = (
        "import hashlib, sys; from pathlib import Path; from tests.test_pipeline import quantised; "
        "print(hashlib.sha256(quantised(Path(sys.argv[1]), Path(sys.argv[2]))).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", program, float_model, pictures],
        env={**os.environ, "PYTHONHASHSEED": "7"}, cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout.strip()  # fmt: skip
    here = {hashlib.sha256(quantised(float_model, pictures, workers=workers)).hexdigest() for workers in (1, 1, 2)}
    assert here == {other}


def test_the_model_carries_recipe_and_origin(float_model: Path, pictures: Path, loaded: FloatModel) -> None:
    metadata = {
        entry.key: entry.value
        for entry in onnx.load_from_string(quantised(float_model, pictures, calibrator="minmax")).metadata_props
    }
    assert recipe_from_toml(metadata[METADATA_KEY], source="metadata") == loaded.recipe
    assert metadata["quantseg.float_sha256"] == hashlib.sha256(float_model.read_bytes()).hexdigest()


def test_flags_override_the_file_and_the_file_the_metadata(float_model: Path, tmp_path: Path) -> None:
    proto = onnx.load(float_model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, '[input]\nmean = [0.1]\nstd = [0.1]\nchannels = "BGR"\n'
    model, file = tmp_path / "m.onnx", tmp_path / "r.toml"
    onnx.save(proto, model)
    file.write_text('[input]\nmean = [0.2]\nchannels = "BGR"\n')

    def means(source: RecipeSource) -> tuple[tuple[float, ...], tuple[float, ...], str | None]:
        found = pipeline.read_float_model(model, source).recipe.input
        return found.mean, found.std, found.channels

    assert means(RecipeSource()) == ((0.1,), (0.1,), "BGR")
    assert means(RecipeSource(file)) == ((0.2,), (1.0,), "BGR")
    assert means(RecipeSource(file, {"mean": (0.3,)})) == ((0.3,), (1.0,), "BGR")
    assert means(RecipeSource(None, {"channels": "RGB"})) == ((0.1,), (0.1,), "RGB")


def test_a_recipe_in_the_metadata_is_checked_like_a_file(float_model: Path, tmp_path: Path) -> None:
    proto = onnx.load(float_model)
    entry = proto.metadata_props.add()
    entry.key, entry.value = METADATA_KEY, "[input]\nmeen = [0.1]\n"
    onnx.save(proto, tmp_path / "m.onnx")
    with pytest.raises(RecipeError, match=r"m\.onnx, metadata: input: unknown key 'meen'"):
        pipeline.read_float_model(tmp_path / "m.onnx")


@pytest.mark.parametrize("calibrator", ["minmax", "percentile", "entropy", "mse"])
def test_every_calibrator_stays_within_what_was_seen(loaded: FloatModel, pictures: Path, calibrator: str) -> None:
    data = pipeline.open_data(pictures, loaded)
    done = pipeline.calibrate(loaded, data, CalibrationOptions(calibrator=calibrator, threads=1))
    assert set(done.table.ranges) == set(done.observations.histograms)
    for name, span in done.table.ranges.items():
        seen = done.observations.histograms[name]
        assert min(seen.minimum, 0) <= span.minimum <= span.maximum <= max(seen.maximum, 0)


def test_limit_takes_fewer_images(loaded: FloatModel, pictures: Path) -> None:
    assert len(pipeline.open_data(pictures, loaded, limit=2).names) == 2


@pytest.mark.parametrize(("threads", "left"), [(1, 0), (2, 3)])
def test_unfinished_work_counts_only_where_it_fits(
    loaded: FloatModel, pictures: Path, tmp_path: Path, threads: int, left: int
) -> None:
    """Of the same thread count, every image; of another one, whose kernels round otherwise, none."""
    data = pipeline.open_data(pictures, loaded)
    options = CalibrationOptions(calibrator="minmax", threads=1)
    partial = tmp_path / "partial"
    pipeline.calibrations.write(pipeline.calibrate(loaded, data, options), partial)
    totals: list[int] = []

    def counted(items: Any, *, total: int, what: str) -> Any:
        totals.append(total)
        return items

    pipeline.calibrate(loaded, data, replace(options, threads=threads), partial=partial, track=counted)
    assert totals == [left]


def test_a_damaged_partial_file_is_started_anew(loaded: FloatModel, pictures: Path, tmp_path: Path) -> None:
    partial = tmp_path / "partial"
    partial.write_text("{")
    data = pipeline.open_data(pictures, loaded)
    options = CalibrationOptions(calibrator="minmax", threads=1)
    plain = pipeline.calibrate(loaded, data, options)
    assert pipeline.calibrate(loaded, data, options, partial=partial).table == plain.table


def test_settings_decide_the_type_that_ranges_are_chosen_for(loaded: FloatModel, pictures: Path) -> None:
    settings = QuantSettings(activation=INT8, symmetric=True)
    options = CalibrationOptions(settings=settings, threads=1)
    table = pipeline.calibrate(loaded, pipeline.open_data(pictures, loaded), options).table
    assert (table.qtype, table.symmetric) == (INT8, True)


def test_a_model_without_integer_forms_cannot_be_calibrated(tmp_path: Path, pictures: Path) -> None:
    path = tmp_path / "m.onnx"
    body = "p = MaxPool<kernel_shape=[1,1]>(x) y = Tanh(p)"
    model = graphs.graph(body, x=f"float[1,3,{SIZE},{SIZE}]", y="float[1,3,H,W]")
    path.write_bytes(graph.to_bytes(model))
    read = pipeline.read_float_model(path)
    with pytest.raises(CalibrationError, match=r"m\.onnx: none of its operators has an integer form"):
        pipeline.calibrate(read, pipeline.open_data(pictures, read), CalibrationOptions())


def test_default_threads_are_cores_that_we_may_use() -> None:
    assert 1 <= pipeline.default_threads() <= (os.cpu_count() or 1)


def test_feeds_for_timing_take_open_sizes_from_the_recipe(tmp_path: Path) -> None:
    model = graphs.graph("y = Conv(x, w)", x="float[N,3,H,W]", y="float[N,2,H,W]", w=graphs.noise(2, 3, 1, 1))
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    feeds = measuring.feeds_for(tmp_path / "m.onnx", RecipeSource(flags={"size": (6, 8)}))
    assert {name: array.shape for name, array in feeds.items()} == {"x": (1, 3, 6, 8)}
    with pytest.raises(RecipeError, match="--size HxW"):
        measuring.feeds_for(tmp_path / "m.onnx", RecipeSource())


def test_feeds_for_timing_of_a_fixed_model_need_no_recipe(float_model: Path) -> None:
    first, second = (measuring.feeds_for(float_model, RecipeSource())["x"] for _ in range(2))
    assert (first.shape, first.dtype) == ((1, 3, SIZE, SIZE), np.float32)
    np.testing.assert_array_equal(first, second)


def test_the_reference_models_are_found() -> None:
    found = reference_models()
    assert "cells_unet" in found
    assert all(path.is_file() for path in found.values())


def test_missing_reference_models_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("quantseg.evaluation.reference_models.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="no reference model is installed"):
        reference_models()
