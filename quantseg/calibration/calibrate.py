"""Calibration of a model: every image observed once, ranges chosen, interrupted calibrations saved and continued."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from quantseg import graph
from quantseg.calibration import file
from quantseg.calibration.choosing import Choice, choose_ranges
from quantseg.calibration.context import Context
from quantseg.calibration.file import Calibration
from quantseg.calibration.observation import ImageId, Observations, Watch, observe
from quantseg.data import Dataset
from quantseg.data.model_inputs import without_constants
from quantseg.errors import CalibrationError
from quantseg.files import check_writable
from quantseg.quantization.float_model import FloatModel, naming
from quantseg.quantization.plan import QuantSettings, finite_tensors, observable
from quantseg.quantization.ranges import RangeTable

log = logging.getLogger(__name__)

SAVE_EVERY_SECONDS = 10.0
"""Seconds between two saves of an unfinished calibration."""


@dataclass(frozen=True)
class Calibrated:
    """A float model with its calibration. images: those that it was calibrated on; None if it was read from a file."""

    model: FloatModel
    calibration: Calibration
    images: Dataset | None = None

    def save(self, path: Path | str) -> Path:
        """Writes the calibration file, which contains no images, and returns its path. Raises OutputError."""
        return self.calibration.save(path)

    def __str__(self) -> str:
        return str(self.calibration)


def calibrate(model: FloatModel, choice: Choice, context: Context, *, partial: Path | None = None) -> Calibration:
    """Observes every image of the context's data once and chooses the ranges.

    partial: a file for the unfinished calibration; where it exists and fits model, recipe and data, it is continued.
    The caller removes it once the result is saved. Raises CalibrationError, DataError, and OutputError where `partial`
    cannot be written.
    """
    if partial is not None:
        check_writable(partial)
    names = observable(model.prepared.model.graph)
    if set(names) <= {value.name for value in model.prepared.model.graph.inputs}:
        raise CalibrationError(f"{model.name}: none of its operators has an integer form; there is nothing to quantise")
    work = _Work(model, context, names)
    with naming(model.name), graph.as_session_source(graph.expose(model.prepared.model, names)) as source:
        watch = Watch(
            source,
            model.input.name,
            names,
            context.data,
            context.runtime,
            context.threads,
            finite_tensors(model.prepared.model.graph),
            shapes=graph.stated_shapes(model.prepared.model, names),
        )
        observations = observe(
            watch,
            engine=context.engine,
            seen=None if partial is None else work.unfinished(partial),
            on_progress=work.saver(partial, choice),
            track=context.track,
        )
    table = choose_ranges(observations, model.digest, choice)
    return Calibration(model.digest, model.identity, context.threads, observations, table)


def read_calibration(path: Path, model: FloatModel) -> Calibration:
    """Reads a calibration file. Raises CalibrationError where it is not one, or for another model or preprocessing."""
    return checked(file.read(path), model, name=str(path))


def checked(calibration: Calibration, model: FloatModel, *, name: str = "the calibration") -> Calibration:
    """The calibration, if it is of this model. Raises CalibrationError for another model or preprocessing."""
    if calibration.model != model.digest:
        raise CalibrationError(f"{name}: was made from another model than {model.name}; calibrate again")
    if calibration.recipe != model.identity:
        if without_constants(calibration.recipe) == model.recipe.to_toml():
            raise CalibrationError(f"{name}: was made with other constants; give the same inputs=…, or calibrate again")
        raise CalibrationError(f"{name}: was made with other preprocessing; calibrate again with this recipe")
    return calibration


def ranges_of(calibration: Calibration, settings: QuantSettings, choice: Choice | None) -> RangeTable:
    """The calibration's own ranges; chosen anew from its histograms where integer type, symmetry or calibrator differ.

    choice: None keeps the calibration's calibrator. Raises CalibrationError for a calibrator that does not exist.
    """
    table = calibration.table
    if choice is None and table.fits(settings):
        return table
    wanted = Choice() if choice is None else choice
    return choose_ranges(calibration.observations, calibration.model, wanted.with_grid(settings))


@dataclass(frozen=True)
class _Work:
    """What an unfinished calibration must match to be continued. names: of the observed tensors."""

    model: FloatModel
    context: Context
    names: tuple[str, ...]

    def unfinished(self, partial: Path) -> Observations | None:
        """The observations of an interrupted calibration, if model, recipe, images and threads are the same."""
        if not partial.exists():
            return None
        try:
            kept = read_calibration(partial, self.model)
        except CalibrationError:
            log.warning("%s: does not fit this calibration; starting from the first image", partial)
            return None
        data = self.context.data
        present = {ImageId(name, data.digest(index)) for index, name in enumerate(data.names)}
        same = kept.threads == self.context.threads and kept.observations.tensors == set(self.names)
        if not same or not present.issuperset(kept.observations.images):
            log.warning("%s: does not fit this calibration; starting from the first image", partial)
            return None
        log.info("%s: continuing after %d images", partial, len(kept.observations.images))
        return kept.observations

    def saver(self, partial: Path | None, choice: Choice) -> Callable[[Observations], None]:
        """A function that saves the observations so far, at most once in SAVE_EVERY_SECONDS."""
        last = time.monotonic()
        cheapest = replace(choice, calibrator="minmax", percent=None)  # ranges of an unfinished file are not used

        def save(total: Observations) -> None:
            nonlocal last
            if partial is None or time.monotonic() - last < SAVE_EVERY_SECONDS:
                return
            table = choose_ranges(total, self.model.digest, cheapest)
            done = Calibration(self.model.digest, self.model.identity, self.context.threads, total, table)
            file.write(done, partial)
            last = time.monotonic()

        return save
