"""The whole path for people who write Python: read a float model, calibrate it, quantise it.

Each function takes values and gives a value; the command line and the report are made of these calls.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx_ir as ir
import psutil

from quantseg import graph
from quantseg.calibration import file as calibrations
from quantseg.calibration.calibrators import calibrator
from quantseg.calibration.file import Calibration, CalibrationTable, choose_ranges
from quantseg.calibration.observation import ImageId, Observations, Watch, observe
from quantseg.data import Dataset, open_dataset
from quantseg.data.recipe import METADATA_KEY, Recipe, TensorSpec, complete, image_input, override, recipe_from_toml
from quantseg.errors import CalibrationError, ModelError, PlanError, RecipeError
from quantseg.graph.preparation import Fusing, Prepared, prepare
from quantseg.progress import Track, quiet
from quantseg.quantization import folding, formats
from quantseg.quantization.folding import Fold
from quantseg.quantization.plan import UNMEASURED, Placement, QuantPlan, QuantSettings, observable, plan
from quantseg.quantization.qtypes import INT8
from quantseg.simulation import saturation

log = logging.getLogger(__name__)

DEFAULT_CALIBRATOR = "minmax"
"""In segmentation rare values are often the rare class: what a clip calls outliers may be the pixels that matter.
On the real models that were measured, each clipping calibrator falls far behind on some of the images."""

SAVE_EVERY_SECONDS = 10.0
"""How often an unfinished calibration is saved."""


@dataclass(frozen=True)
class RecipeSource:
    """Where the preprocessing is declared: a TOML file, else the model's metadata; flags override either."""

    file: Path | None = None
    flags: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class FloatModel:
    """A float model, read and prepared. input: the tensor that takes the picture. recipe: completed."""

    path: Path
    digest: str
    prepared: Prepared
    recipe: Recipe
    input: TensorSpec


@dataclass(frozen=True)
class CalibrationOptions:
    """How to calibrate and for what settings. calibrator: None is DEFAULT_CALIBRATOR, or that of a calibration file.

    percent: for the percentile calibrator. limit: at most so many images. threads: of the runtime, 0 for all cores.
    """

    calibrator: str | None = None
    percent: float | None = None
    limit: int | None = None
    workers: int = 1
    threads: int = 0
    settings: QuantSettings = field(default_factory=QuantSettings)


def default_threads() -> int:
    """The physical cores that this process may use."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(psutil.cpu_count(logical=False) or allowed, allowed))


def resolve_recipe(model: ir.Model, path: Path, source: RecipeSource) -> Recipe:
    """The completed recipe of a model, float or quantised. Raises RecipeError or ModelError."""
    if source.file is not None:
        try:
            text = source.file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RecipeError(f"{source.file}: cannot be read; give a recipe in TOML") from error
        recipe = recipe_from_toml(text, source=str(source.file))
    elif METADATA_KEY in model.metadata_props:
        recipe = recipe_from_toml(model.metadata_props[METADATA_KEY], source=f"{path}, metadata")
    else:
        recipe = Recipe()
        log.info("%s: no preprocessing declared; pixels are scaled to 0…1 unless flags say otherwise", path.name)
    inputs, outputs = graph.signature(model)
    return complete(override(recipe, **source.flags), inputs, outputs, model=str(path))


def read_float_model(path: Path, source: RecipeSource | None = None, *, fusing: Fusing | None = None) -> FloatModel:
    """Reads a float model and prepares it for quantisation. Raises ModelError, also for one quantised already.

    fusing: of the one runtime that the model is for; None: for any runtime.
    """
    model = graph.load(path)
    if graph.is_quantised(model):
        raise ModelError(f"{path}: is quantised already; give the float model it was made from")
    recipe = resolve_recipe(model, path, source or RecipeSource())
    inputs, _ = graph.signature(model)
    prepared = prepare(model, fusing=fusing)
    return FloatModel(path, graph.digest(path), prepared, recipe, image_input(inputs, recipe.input))


def open_data(folder: Path, model: FloatModel, *, limit: int | None = None, masks: bool = False) -> Dataset:
    """Images or arrays as this model takes them, with masks or without. Raises DataError.

    folder: any folder, or LAYOUT:FOLDER#SPLIT; see quantseg.data.
    """
    return open_dataset(folder, model.recipe, inputs=model.input, limit=limit, masks=masks)


def calibrate(
    model: FloatModel,
    data: Dataset,
    options: CalibrationOptions,
    *,
    partial: Path | None = None,
    track: Track = quiet,
) -> Calibration:
    """Observes every image once and chooses the ranges.

    partial: a file in which unfinished work is kept; where it fits model, recipe and data, it is continued.
    The caller removes it once the result is safe. Raises CalibrationError, DataError.
    """
    threads = options.threads or default_threads()
    names = observable(model.prepared.model.graph)
    if set(names) <= {model.input.name}:
        raise CalibrationError(f"{model.path}: none of its operators has an integer form; there is nothing to quantise")
    with graph.as_session_source(graph.expose(model.prepared.model, names)) as source:
        watch = Watch(source, model.input.name, names, data, "onnxruntime", threads, alone=True)
        observations = observe(
            watch,
            engine="serial" if options.workers == 1 else "processes",
            workers=options.workers,
            seen=None if partial is None else _unfinished(partial, model, data, names, threads),
            on_progress=_saver(partial, model, options, threads),
            track=track,
        )
    return Calibration(model.digest, model.recipe.to_toml(), threads, observations, choose(observations, options))


def choose(observations: Observations, options: CalibrationOptions) -> CalibrationTable:
    """The ranges that the calibrator of `options` chooses from observations. Raises CalibrationError."""
    name = options.calibrator or DEFAULT_CALIBRATOR
    return choose_ranges(
        observations,
        calibrator(name, percent=options.percent),
        name=name,
        percent=options.percent,
        qtype=options.settings.activation,
        symmetric=options.settings.symmetric,
    )


def read_calibration(path: Path, model: FloatModel) -> Calibration:
    """Reads a calibration file. Raises CalibrationError where it is none, or of another model or preprocessing."""
    kept = calibrations.read(path)
    if kept.model != model.digest:
        raise CalibrationError(f"{path}: was made from another model than {model.path}; calibrate again")
    if kept.recipe != model.recipe.to_toml():
        raise CalibrationError(f"{path}: was made with other preprocessing; calibrate again with this recipe")
    return kept


def ranges_of(calibration: Calibration, options: CalibrationOptions) -> CalibrationTable:
    """The calibration's own ranges, or where `options` ask for others, ranges chosen anew from what it observed."""
    table, settings = calibration.table, options.settings
    same_grid = (table.qtype, table.symmetric) == (settings.activation, settings.symmetric)
    asks = options.calibrator is not None or options.percent is not None
    return table if same_grid and not asks else choose(calibration.observations, options)


def fold(
    model: FloatModel, table: CalibrationTable, wanted: Fold, settings: QuantSettings
) -> tuple[FloatModel, CalibrationTable]:
    """The model with preprocessing or head in its graph, still float, and the ranges to quantise it with.

    Between `calibrate` and `quantize`, with the settings of the latter. Raises PlanError where it cannot be folded.
    """
    if wanted == Fold():
        return model, table
    done = folding.fold(model.prepared, model.recipe, table.ranges, wanted, settings)
    inputs, _ = graph.signature(done.prepared.model)
    picture = image_input(inputs, done.recipe.input)
    folded = replace(model, prepared=done.prepared, recipe=done.recipe, input=picture)
    return folded, replace(table, ranges=done.ranges)


def quantize(
    model: FloatModel,
    table: CalibrationTable,
    settings: QuantSettings,
    *,
    qformat: str = "qdq",
    placement: Placement = UNMEASURED,
) -> tuple[QuantPlan, ir.Model]:
    """The plan and the quantised model, its recipe in its metadata. placement: what was measured.

    The model that is given has been read again: none of its pair sums can saturate, but with full_range_weights. Raises
    PlanError, CalibrationError.
    """
    if model.prepared.fused is not None and qformat != "qdq":
        raise PlanError(f"activations are fused into products in qdq, not in {qformat}")
    if settings.activation is INT8 and qformat == "qdq":
        log.info("int8 activations in QDQ: onnxruntime on x86 may run some of them in float; inspect tells which")
    decided = plan(model.prepared, table.ranges, settings, placement)
    metadata = {METADATA_KEY: model.recipe.to_toml(), "quantseg.float_sha256": model.digest}
    quantised = formats.emit(model.prepared.model, decided, qformat=qformat, metadata=metadata)
    graph.check(quantised, full=True)
    if not settings.full_range_weights:
        saturation.require_safe(quantised)
    return decided, quantised


def _unfinished(
    partial: Path, model: FloatModel, data: Dataset, names: tuple[str, ...], threads: int
) -> Observations | None:
    """What an interrupted calibration has seen, if it was of the same model, recipe, images and threads."""
    if not partial.exists():
        return None
    try:
        kept = read_calibration(partial, model)
    except CalibrationError:
        log.warning("%s: does not fit this calibration; starting from the first image", partial)
        return None
    present = {ImageId(name, data.digest(index)) for index, name in enumerate(data.names)}
    same = kept.threads == threads and set(kept.observations.histograms) == set(names)
    if not same or not present.issuperset(kept.observations.images):
        log.warning("%s: does not fit this calibration; starting from the first image", partial)
        return None
    log.info("%s: continuing after %d images", partial, len(kept.observations.images))
    return kept.observations


def _saver(
    partial: Path | None, model: FloatModel, options: CalibrationOptions, threads: int
) -> Callable[[Observations], None]:
    """Saves the running total every SAVE_EVERY_SECONDS."""
    last = time.monotonic()

    def save(total: Observations) -> None:
        nonlocal last
        if partial is None or time.monotonic() - last < SAVE_EVERY_SECONDS:
            return
        table = choose(total, replace(options, calibrator="minmax", percent=None))  # the cheapest; none is read back
        calibrations.write(Calibration(model.digest, model.recipe.to_toml(), threads, total, table), partial)
        last = time.monotonic()

    return save
