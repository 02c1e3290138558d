"""Times networks and classical methods in turns: from an image, or the tensor made of it, to its class ids.

As in a latency comparison all take turns in rounds, with one session open at a time. Methods run on one thread.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from quantseg.data import Dataset, Item
from quantseg.data.folder import choose
from quantseg.data.heads import head_of
from quantseg.data.recipe import Recipe, image_input
from quantseg.evaluation.agreement import Pair
from quantseg.evaluation.classical.baselines import FLOAT, INT8, Rules
from quantseg.evaluation.classical.rule import ColourRule, class_mask
from quantseg.evaluation.classical.segments import Method
from quantseg.evaluation.classical.table import CLASSICAL
from quantseg.progress import Track, quiet
from quantseg.runtimes import Runtime, for_file

IMAGES = 4
"""Images of a round, evenly spread over those that are judged."""
Step = Callable[[Item], object]


def milliseconds(
    rules: Rules, pair: Pair, data: Dataset, recipe: Recipe, *, rounds: int, track: Track = quiet
) -> Mapping[str, float]:
    """Name → median over all rounds and images, of both networks and of every method that has a rule.

    data: the images; those of `pair.folded` are the same. recipe: completed. Raises ModelError.
    """
    chosen = choose(tuple(range(len(data.names))), IMAGES)
    items = [data.load(index) for index in chosen]
    folded = pair.folded
    own = items if folded is None else [folded.dataset.load(index) for index in chosen]
    networks = {
        FLOAT: (pair.runtimes[0], pair.reference, recipe, items),
        INT8: (pair.runtimes[1], pair.candidate, recipe if folded is None else folded.recipe, own),
    }
    taken: dict[str, list[float]] = {name: [] for name in (*networks, *rules)}
    order = [name for _ in range(rounds) for name in taken]
    for name in track(order, total=len(order), what="time classical methods"):
        if name in networks:
            runtime, model, how, inputs = networks[name]
            with _network(runtime, model, how, pair.threads) as step:
                taken[name] += _times(step, inputs)
        else:
            taken[name] += _times(_method(CLASSICAL[name], rules[name]), items)
    return {name: 1e3 * float(np.median(seconds)) for name, seconds in taken.items()}


@contextmanager
def _network(runtime: Runtime, model: Path | bytes, recipe: Recipe, threads: int) -> Iterator[Step]:
    session = for_file(runtime, model).open(model, threads=threads)
    head, image = head_of(recipe.output), image_input(session.inputs, recipe.input).name
    names = head.outputs(recipe.output, session.outputs)
    try:
        yield lambda item: head.masks(session.run(item.feeds(image), names), recipe.output)
    finally:
        session.close()


def _method(method: Method, rule: ColourRule) -> Step:
    def step(item: Item) -> object:
        assert item.image is not None
        return class_mask(method, rule, item.image)

    return step


def _times(step: Step, items: Sequence[Item]) -> list[float]:
    """Seconds of each item, after one that warms up."""
    step(items[0])
    seconds = []
    for item in items:
        began = time.perf_counter()
        step(item)
        seconds.append(time.perf_counter() - began)
    return seconds
