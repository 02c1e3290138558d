"""How weights are rounded: nearest, so that their errors compensate, with corrected biases, or learned."""

from collections.abc import Iterator
from dataclasses import replace

from quantseg.data import Dataset
from quantseg.refinement.bias import METHODS, correct_biases
from quantseg.refinement.levels.starts import Refined, Work
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.rounding.learned import learn


def ways_to_round(start: Refined, few: Dataset, work: Work) -> Iterator[Refined]:
    """The nearest integers first, then each way that is made on these few images."""
    yield start
    rounded = _compensated(start, few, work)
    yield rounded
    for method in METHODS:
        yield _corrected(rounded, start, method, few, work)


def learned(start: Refined, work: Work, *, seed: int) -> Refined:
    """With weights and biases that were learned on the network's own answer. Raises MissingExtraError without torch."""
    model = start.model
    done = learn(
        model.prepared,
        start.table.ranges,
        work.options.settings,
        model.recipe,
        model.input.name,
        work.data,
        seed=seed,
        threads=work.jury.threads,
        track=work.track,
    )
    return replace(start, model=replace(model, prepared=done))


def _compensated(start: Refined, few: Dataset, work: Work) -> Refined:
    """With weights rounded together instead of one by one."""
    model = start.model
    done = compensate(
        model.prepared,
        start.table.ranges,
        work.options.settings,
        model.input.name,
        few,
        threads=work.jury.threads,
        track=work.track,
    )
    return replace(start, model=replace(model, prepared=done))


def _corrected(start: Refined, exact: Refined, method: str, few: Dataset, work: Work) -> Refined:
    """With biases that make up for what rounding has changed in the channels' means, which are those of `exact`."""
    model = start.model
    done = correct_biases(
        model.prepared,
        start.table.ranges,
        work.options.settings,
        model.input.name,
        few,
        method=method,
        reference=exact.model.prepared.model,
        threads=work.jury.threads,
        track=work.track,
    )
    return replace(start, model=replace(model, prepared=done))
