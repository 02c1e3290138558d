"""The ways to round weights: nearest, compensated (GPTQ), compensated with bias correction, and learned."""

from collections.abc import Iterator

from quantseg.quantization.candidate import Candidate
from quantseg.refinement.bias import METHODS
from quantseg.refinement.levels.starts import Work
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.rounding.learned import learn
from quantseg.refinement.steps import correct, on_images


def ways_to_round(start: Candidate, few: tuple[int, ...], work: Work, *, learning: bool) -> Iterator[Candidate]:
    """The candidate with its weights rounded in each way, nearest first.

    few: indices of the reference images on which compensated rounding and bias correction run. learning: whether
    learned rounding, on all images of the context, is one way; it raises MissingExtraError without torch.
    """
    yield start
    rounded = on_images(compensate, few)(start, work.judged)
    yield rounded
    for method in METHODS:
        yield on_images(correct(method, start), few)(rounded, work.judged)
    if learning:
        yield learn(start, work.context)
