"""Grids per channel of the outputs, as the first step of every level: with them, less of the rest needs refining."""

from dataclasses import replace

from quantseg.calibration.observation import Observations
from quantseg.quantization.candidate import Candidate
from quantseg.refinement.output_grids import part_output_grids
from quantseg.refinement.steps import Step


def parted(candidate: Candidate, observations: Observations) -> tuple[Candidate, Observations]:
    """The candidate with a range for each channel of its outputs, and the observations without the tensors it changed.

    Both as they are where no output fits.
    """
    found = part_output_grids(candidate, observations.channels)
    if found is None:
        return candidate, observations
    changed = {name for name, span in found.ranges.ranges.items() if candidate.ranges.ranges.get(name) != span}
    histograms = {name: seen for name, seen in observations.histograms.items() if name not in changed}
    channels = {name: seen for name, seen in observations.channels.items() if name not in changed}
    return found, replace(observations, histograms=histograms, channels=channels)


def part_outputs(observations: Observations) -> Step:
    """The step that gives each channel of the outputs a range. observations: of the candidate's graph."""
    return lambda candidate, _: parted(candidate, observations)[0]
