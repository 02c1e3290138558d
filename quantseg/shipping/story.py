"""How a shipped model was made and what was found of it, as far as it is known: what its card says."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from quantseg.quantization.candidate import Candidate
from quantseg.quantization.writing import QuantizedModel


@dataclass(frozen=True)
class Story:
    """made: what → how, for the card's table. verdict: that of `report.verdict` as plain values; empty if not judged.

    about: what pictures the model is for, in its author's words; None if nobody said. command: the command line that
    wrote the app, if one did. candidate: what the model was emitted from, for other formats; None for a model that was
    read from a file.
    """

    made: Mapping[str, str] = field(default_factory=dict)
    verdict: Mapping[str, Any] = field(default_factory=dict)
    about: str | None = None
    command: str | None = None
    candidate: Candidate | None = None


def story_of(made: QuantizedModel, *, effort: str, images: int, verdict: Mapping[str, Any]) -> Story:
    """The story of a model that was quantised just now. images: how many calibrated it."""
    plan, settings = made.plan, made.candidate.settings
    return Story(
        {
            "effort": effort,
            "calibration": f"{images} images, {made.candidate.ranges.calibrator}",
            "integers": f"{settings.weight.name} weights, {settings.activation.name} activations, {made.qformat}",
            "nodes in integers": f"{len(plan.quantised)} of {len(plan.nodes)}",
        },
        verdict,
        candidate=made.candidate,
    )
