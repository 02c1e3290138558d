"""How weights are rounded: nearest, so that their errors compensate, with corrected biases, or learned."""

from collections.abc import Iterator

from quantseg.quantization.candidate import Candidate
from quantseg.refinement.bias import METHODS
from quantseg.refinement.levels.starts import Work
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.rounding.learned import learn
from quantseg.refinement.steps import correct, on_images


def ways_to_round(start: Candidate, few: tuple[int, ...], work: Work, *, learning: bool) -> Iterator[Candidate]:
    """The nearest integers first, then each way that is made on these few of the judged images.

    learning: also the way that is learned on all of the context's. Raises MissingExtraError for that without torch.
    """
    yield start
    rounded = on_images(compensate, few)(start, work.judged)
    yield rounded
    for method in METHODS:
        yield on_images(correct(method, start), few)(rounded, work.judged)
    if learning:
        yield learn(start, work.context)
