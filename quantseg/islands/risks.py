"""The risk of each place that a plan rounds, measured: it alone rounds, all else is float."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg import graph
from quantseg.fake_quant import fake_quantised, rounded_tensors
from quantseg.islands.choice import Source
from quantseg.islands.margins import Judge
from quantseg.planning import QuantPlan
from quantseg.prepare import Prepared
from quantseg.progress import Track, quiet
from quantseg.recipe import OutputRecipe
from quantseg.runtimes import WEIGHTS_AS_WRITTEN


def measure(
    prepared: Prepared,
    plan: QuantPlan,
    feeds: Sequence[Mapping[str, NDArray[Any]]],
    output: OutputRecipe,
    *,
    threads: int,
    track: Track = quiet,
) -> tuple[Source, ...]:
    """Every tensor and weight that the plan rounds, with its mean risk over `feeds`."""
    model, name = prepared.model, str(output.name)
    level = output.threshold if output.head in ("threshold", "multilabel") else 0.0
    with closing(WEIGHTS_AS_WRITTEN.open(graph.to_bytes(model), threads=threads, spinning=False)) as session:
        judges = [Judge.of(session.run(feed, [name])[0], output) for feed in feeds]

    def risk(weights: tuple[str, ...], tensors: tuple[str, ...]) -> float:
        content = graph.to_bytes(fake_quantised(model, plan, weights=weights, tensors=tensors))
        with closing(WEIGHTS_AS_WRITTEN.open(content, threads=1, spinning=False)) as session:
            risks = [judge.risk(session.run(feed, [name])[0], level) for judge, feed in zip(judges, feeds, strict=True)]
        return float(np.mean(risks))

    integer = {node.name for node in plan.quantised}
    values = {v.name: v for v in (*model.graph.inputs, *(o for node in model.graph for o in node.outputs))}
    jobs = [((), (tensor,), _around(values[tensor], plan, integer)) for tensor in rounded_tensors(model, plan)]
    jobs += [((node,), (), frozenset({node})) for node in plan.weights]
    with ThreadPoolExecutor(threads) as pool:
        found = pool.map(lambda job: risk(job[0], job[1]), jobs)
        risks = list(track(found, total=len(jobs), what="Measuring what rounds"))
    return tuple(Source((w or t)[0], r, nodes, alone=not w) for (w, t, nodes), r in zip(jobs, risks, strict=True))


def _around(value, plan, integer) -> frozenset[str]:
    """The integer nodes that make the value or read it; through nodes that only move it, those beyond."""
    found, todo, seen = set(), [value], set()
    while todo:
        current = todo.pop()
        if current in seen:
            continue
        seen.add(current)
        maker = current.producer()
        if maker is not None and maker.name in integer:
            found.add(str(maker.name))
            if maker.name in plan.dropped:
                todo.append(maker.inputs[0])
        for user, _ in current.uses():
            if user.name in integer:
                found.add(str(user.name))
                if user.name in plan.dropped or (user.op_type in ("MaxPool", "DepthToSpace", "Reshape", "Transpose", "Slice", "Pad", "Gather") ):
                    todo += list(user.outputs)
    return frozenset(found)
