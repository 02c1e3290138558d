"""Bits lost so that sums of int8 products are exact on every processor, before and after channels are put in order.

    python -m tests.bench.ordering

Reads the zoo, and the models in ../shared where they are.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from quantseg import api
from quantseg.evaluation.reference_models import reference_models
from quantseg.graph.preparation import Prepared
from quantseg.quantization.float_model import RecipeSource
from quantseg.refinement.channel_order import Reordered, lost, reorder
from quantseg.refinement.channel_order.blocks import blocks_of, ties_of
from quantseg.report import tables
from tests.bench import writing
from tests.bench.shared_models import DATA, RECIPES

GOAL = 0.2


def models() -> Iterator[tuple[str, Path, RecipeSource]]:
    """Name, file and recipe of every model."""
    for name, path in reference_models().items():
        yield name, path, RecipeSource()
    for name in DATA:
        path = writing.SHARED / "models" / f"{name}.onnx"
        if path.exists():
            yield name, path, RecipeSource(RECIPES / f"{name}.toml")


def held(prepared: Prepared) -> dict[str, float]:
    """Product → the share of its input channels that cannot move."""
    ties = ties_of(prepared.model.graph)
    free = np.concatenate([np.zeros(0, np.int64), *blocks_of(ties)])
    return {str(one.node.name): 1 - float(np.isin(ties.roots(one.read), free).mean()) for one in ties.products}


def measured(name: str, path: Path, source: RecipeSource) -> dict[str, Any]:
    """The figures of one model."""
    prepared = api.load(path, source).prepared
    began, cpu = time.perf_counter(), time.process_time()
    done = reorder(prepared)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    before = lost(prepared)
    after = before if done is None else done.after
    shares = held(prepared)
    pinned = sum(float(values.sum()) * shares.get(node, 1.0) for node, values in after.of.items())
    return {
        "model": name,
        "weights": sum(
            value.const_value.size for value in prepared.model.graph.initializers.values() if value.const_value
        ),
        "channels": before.channels,
        "before": before.mean,
        "after": after.mean,
        "pinned": pinned / max(before.channels, 1),
        "moved": len(done.orders) if isinstance(done, Reordered) else 0,
        "seconds": seconds,
        "cpu_seconds": cpu,
        "nodes": {
            node: {
                "channels": len(values),
                "before": float(values.mean()),
                "after": float(after.of[node].mean()),
                "pinned": shares.get(node, 1.0),
            }
            for node, values in before.of.items()
        },
    }


def main() -> None:
    """Measures and writes the report."""
    writing.parser(__doc__).parse_args()
    found = [measured(*model) for model in models()]
    zoo = [one for one in found if one["model"] not in DATA]
    rows = [_row(one) for one in found]
    rows += [_mean("mean of the zoo", zoo), _mean("mean of all", found)]
    above = [
        f"{one['model']} ({one['after']:.2f}, {one['pinned']:.2f} of it pinned)" for one in found if one["after"] > GOAL
    ]
    worst = sorted(
        ((one["model"], node, values) for one in found for node, values in one["nodes"].items()),
        key=lambda row: -row[2]["after"] * row[2]["channels"],
    )[:12]
    page = writing.Page(
        "Order of input channels, and the bits it saves",
        "Bits lost: log2 of the factor by which the scale of an output channel must exceed max|w|/127, so that no pair "
        "of neighbours saturates a sum of 16 bits in either library (quantization/pairs.py); mean over the output "
        "channels of all products whose kernels have pairs. Pinned: the part of what is left that falls to inputs that "
        "cannot move (images, what an operator reads that mixes channels), by their share of a product's input "
        "channels. "
        f"Goal: {GOAL} in the mean over the zoo. Above it by themselves: {', '.join(above) or 'none'}. "
        "Where one set of channels is read by many output channels (the wide layers behind each linear bottleneck of "
        "deeplabv3plus, the four branches of its pyramid) one order has to serve them all.",
        {
            "Bits lost per channel, and seconds of one core": (
                ("model", "weights", "channels", "before", "after", "of it pinned", "seconds"),
                rows,
            ),
            "Where most of what is left is lost": (
                ("model", "node", "channels", "before", "after", "inputs that cannot move"),
                [
                    (
                        model,
                        node,
                        str(values["channels"]),
                        f"{values['before']:.2f}",
                        f"{values['after']:.2f}",
                        tables.percent(values["pinned"]),
                    )
                    for model, node, values in worst
                ],
            ),
        },
    )
    writing.write("ordering", page, {"models": found})


def _row(one: dict[str, Any]) -> tables.Row:
    return (
        one["model"],
        f"{one['weights']:,}",
        f"{one['channels']:,}",
        *(f"{one[key]:.3f}" for key in ("before", "after", "pinned")),
        f"{one['cpu_seconds']:.1f}",
    )


def _mean(name: str, of: list[dict[str, Any]]) -> tables.Row:
    means = [f"{np.mean([one[key] for one in of]):.3f}" for key in ("before", "after", "pinned")]
    return (name, None, None, *means, f"{np.mean([one['cpu_seconds'] for one in of]):.1f}")


if __name__ == "__main__":
    main()
