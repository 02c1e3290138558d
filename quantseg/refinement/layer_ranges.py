"""Which calibrator suits each grid: judged by the error that its rounding makes at the layers that read it.

A grid's tensors are rounded alone, and the error is measured where it arrives: at the outputs of the next products (a
convolution averages rounding noise away, a saturated value it does not) and at the answer. The choice is the range
whose worst image is the least wrong: a sum over the images would favour what most pixels hold, and a rare class lives
in few.
Source: the idea of judging a range by a layer's output is that of EasyQuant (arXiv:2006.16669) and PTQ4ViT
(arXiv:2111.12293).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir

from quantseg.calibration.calibrators import CALIBRATORS, Calibrator, calibrator
from quantseg.calibration.observation import Observations
from quantseg.data import Dataset
from quantseg.errors import DataError
from quantseg.graph.preparation import Prepared
from quantseg.progress import Track, quiet
from quantseg.quantization.affine import F64, Range, params_from_range
from quantseg.quantization.plan import QuantSettings
from quantseg.refinement.downstream import Cone, cone_of, with_errors
from quantseg.refinement.groups import SAFE, Spans, spans_of
from quantseg.refinement.layers import opened

MINMAX = "minmax"
"""What every other calibrator has to beat."""

CANDIDATES: dict[str, Calibrator] = {
    **{f"percentile {percent}": calibrator("percentile", percent=percent) for percent in (99.9, 99.99, 99.999)},
    "entropy": CALIBRATORS["entropy"],
    "mse": CALIBRATORS["mse"],
}
"""What is tried beside it."""

LEAST_GAIN = 0.03
"""Share of the error that a narrower range must save on the worst image; less is noise, and the tie is min/max's."""


@dataclass(frozen=True)
class Trial:
    """A grid with the ranges that are tried for it, and where its rounding arrives."""

    grid: Spans
    cone: Cone


def search_ranges(
    prepared: Prepared,
    observations: Observations,
    settings: QuantSettings,
    input_name: str,
    data: Dataset,
    *,
    threads: int = 1,
    track: Track = quiet,
) -> tuple[dict[str, Range], dict[str, str]]:
    """A range for each observed tensor, and the name of the calibrator that chose it.

    Tensors on one grid get the same calibrator. A grid that no product or float answer follows keeps min/max. Each
    image is run once, at the cost of ten float runs or more. Raises DataError without images, PlanError and
    CalibrationError as `plan` does.
    """
    safe = {
        tensor: CALIBRATORS[MINMAX](histogram, settings.activation, symmetric=settings.symmetric)
        for tensor, histogram in observations.histograms.items()
    }
    trials = tuple(
        Trial(spans, cone)
        for spans in spans_of(prepared, safe, observations, settings, CANDIDATES)
        if (cone := cone_of(prepared.model.graph, frozenset(spans.points))).sinks
    )
    found, chosen = safe, dict.fromkeys(safe, MINMAX)
    errors = _errors(prepared.model, trials, settings, input_name, data, threads, track)
    for trial, of_trial in zip(trials, errors, strict=True):
        best = _least_wrong(of_trial)
        if best != SAFE:
            found |= trial.grid.of_tensors[best]
            chosen |= dict.fromkeys(trial.grid.of_tensors[best], best)
    return found, chosen


def _errors(
    model: ir.Model,
    trials: tuple[Trial, ...],
    settings: QuantSettings,
    input_name: str,
    data: Dataset,
    threads: int,
    track: Track,
) -> list[dict[str, F64]]:
    """For each trial and candidate the squared error, (images, sinks)."""
    to_params = partial(params_from_range, qtype=settings.activation, symmetric=settings.symmetric)
    rounding = [(trial.cone, [to_params(span) for span in trial.grid.spans.values()]) for trial in trials]
    if not data.names:
        raise DataError("no images to choose ranges on; give a folder that holds some")
    if not trials:
        return []
    with opened(with_errors(model, rounding), threads) as session:
        seen = [
            np.array(session.run({input_name: data.load(index).tensor}), np.float64)
            for index in track(range(len(data.names)), total=len(data.names), what="choosing ranges")
        ]
    columns, errors, start = np.stack(seen), list[dict[str, F64]](), 0
    for trial in trials:
        shape = (len(seen), len(trial.grid.spans), len(trial.cone.sinks))
        block = columns[:, start : start + shape[1] * shape[2]].reshape(shape)
        errors.append({name: block[:, place] for place, name in enumerate(trial.grid.spans)})
        start += shape[1] * shape[2]
    return errors


def _least_wrong(errors: Mapping[str, F64]) -> str:
    """The candidate whose worst image has the least error, each sink in units of what SAFE makes there."""
    unit = np.maximum(errors[SAFE].mean(axis=0), np.finfo(np.float32).tiny)
    worst = {name: float((error / unit).mean(axis=1).max()) for name, error in errors.items()}
    best = min(worst, key=lambda name: worst[name])
    return best if worst[best] < (1 - LEAST_GAIN) * worst[SAFE] else SAFE
