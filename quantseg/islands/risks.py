"""The risk of each place that a plan rounds, measured: it alone rounds, all else is float."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from quantseg import graph
from quantseg.fake_quant import fake_quantised, rounded_tensors
from quantseg.islands.choice import Source
from quantseg.islands.margins import Judge
from quantseg.ops import IntegerForm, Kind, integer_form
from quantseg.planning import QuantPlan
from quantseg.progress import Track, quiet
from quantseg.recipe import OutputRecipe
from quantseg.runtimes import WEIGHTS_AS_WRITTEN

Feeds = Sequence[Mapping[str, NDArray[Any]]]


def judges_of(model: ir.Model, feeds: Feeds, output: OutputRecipe, *, threads: int) -> tuple[Judge, ...]:
    """What the float model answers to each of `feeds`, as that by which others are judged."""
    with (
        graph.as_session_source(model) as source,
        closing(WEIGHTS_AS_WRITTEN.open(source, threads=threads, spinning=False)) as session,
    ):
        return tuple(Judge.of(session.run(feed, [str(output.name)])[0], output) for feed in feeds)


def risks_of(
    model: ir.Model, judges: Sequence[Judge], feeds: Feeds, output: OutputRecipe, *, threads: int
) -> tuple[float, ...]:
    """The risk of a model's answer to each of `feeds`."""
    with (
        graph.as_session_source(model) as source,
        closing(WEIGHTS_AS_WRITTEN.open(source, threads=threads, spinning=False)) as session,
    ):
        answers = (session.run(feed, [str(output.name)])[0] for feed in feeds)
        return tuple(judge.risk(answer) for judge, answer in zip(judges, answers, strict=True))


def sources(
    model: ir.Model,
    plan: QuantPlan,
    judges: Sequence[Judge],
    feeds: Feeds,
    output: OutputRecipe,
    *,
    threads: int,
    track: Track = quiet,
) -> tuple[Source, ...]:
    """Every tensor that the plan of this prepared model rounds, with its mean risk.

    Weights are left out: they can be rounded so that their errors compensate, and a float product between two rounded
    tensors, which would leave a weight alone, is one that onnxruntime (1.31) rounds again by itself.

    threads: graphs that are measured side by side, each on one thread of its own.
    """
    values = {value.name: value for value in (*model.graph.inputs, *(o for node in model.graph for o in node.outputs))}
    tensors = rounded_tensors(model, plan)

    def risk(tensor: str) -> float:
        part = fake_quantised(model, plan, weights=(), tensors=(tensor,))
        return float(np.mean(risks_of(part, judges, feeds, output, threads=1)))

    with ThreadPoolExecutor(threads) as pool:
        try:
            risks = list(track(pool.map(risk, tensors), total=len(tensors), what="measuring what rounding harms"))
        finally:
            pool.shutdown(cancel_futures=True)
    return tuple(Source(name, found, _around(values[name], plan)) for name, found in zip(tensors, risks, strict=True))


def _around(value: ir.Value, plan: QuantPlan) -> frozenset[str]:
    """The integer nodes that make the value or read it, also beyond clamps in its grid and nodes that only move it."""
    integer = {node.name for node in plan.quantised}
    found, seen, left = set[str](), set[ir.Value](), [value]
    while left:
        current = left.pop()
        if current in seen:
            continue
        seen.add(current)
        maker = current.producer()
        if maker is not None and maker.name in integer:
            found.add(str(maker.name))
            if maker.name in plan.dropped and maker.inputs[0] is not None:
                left.append(maker.inputs[0])
        for user, _ in current.uses():
            if user.name not in integer:
                continue
            found.add(str(user.name))
            form = integer_form(user)
            if user.name in plan.dropped or (isinstance(form, IntegerForm) and form.kind is Kind.MOVEMENT):
                left.extend(user.outputs)
    return frozenset(found)
