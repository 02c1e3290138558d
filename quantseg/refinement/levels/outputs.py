"""Grids per channel of the outputs, as the first step of every level: with them, less of the rest needs refining."""

from dataclasses import replace

from quantseg.calibration.observation import Observations
from quantseg.quantization.candidate import Candidate
from quantseg.refinement.levels.starts import Work
from quantseg.refinement.output_grids import least_that_matters, part_output_grids


def parted(
    candidate: Candidate, observations: Observations, work: Work | None = None
) -> tuple[Candidate, Observations]:
    """The candidate with a range for each channel of its outputs, and the observations without the tensors it changed.

    work: tells from the float outputs where values may saturate; None: nowhere. Both as they are where nothing fits.
    """
    least = None
    if work is not None:
        least = least_that_matters(work.reference.outputs_of(candidate.prepared.model), candidate.model.recipe.output)
    found = part_output_grids(candidate, observations.channels, least)
    if found is None:
        return candidate, observations
    changed = {name for name, span in found.ranges.ranges.items() if candidate.ranges.ranges.get(name) != span}
    histograms = {name: seen for name, seen in observations.histograms.items() if name not in changed}
    channels = {name: seen for name, seen in observations.channels.items() if name not in changed}
    return found, replace(observations, histograms=histograms, channels=channels)
