"""Finds a node of a program, and the value of its tensor in the float model."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import ModelError, PlanError
from quantseg.graph import as_session_source, expose, load
from quantseg.graph.preparation import prepare
from quantseg.runtimes import DEFAULT, check_opens
from quantseg.simulation.others import renamed
from quantseg.simulation.program import Program
from quantseg.simulation.running import TakenStep, run

Array = NDArray[Any]
STORED = "_quantized"
"""The suffix of a quantised tensor's name: the integers of tensor x are named x_quantized."""


_CLEARLY = 0.01
"""By how much more another channel has to correlate."""


def find(program: Program, feeds: Mapping[str, Array], node: str, *, rounding: str = "onnxruntime") -> TakenStep:
    """Runs the program up to the step with this node name or output tensor, and returns that step with its arrays.

    Raises ModelError where there is none, with similar names.
    """
    names = {name: step for step in program.steps for name in (*step.outputs, step.name) if name}
    if node not in names:
        like = difflib.get_close_matches(node, names, n=3, cutoff=0.4)
        hint = f"; like it are {', '.join(map(repr, like))}" if like else ""
        raise ModelError(
            f"no node or tensor {node!r} in the integer program{hint}; quantseg simulate -v lists products"
        )
    wanted = names[node]
    return next(taken for taken in run(program, feeds, rounding=rounding) if taken.step is wanted)


def place_of(text: str) -> tuple[int, ...]:
    """Parses an index such as "0,5,12,30". Raises PlanError for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise PlanError(f"{text!r} is no place; give whole numbers with commas between, as 0,5,12,30") from error


def beside(
    reference: Path, taken: TakenStep, place: tuple[int, ...], feeds: Mapping[str, Array]
) -> tuple[float, tuple[int, ...]]:
    """The float model's value of the same tensor and pixel, after the rewrites that precede quantisation; its place.

    The channel is another one where quantising reordered them. Not comparable inside the network where cross-layer
    equalisation rescaled channels (any effort but fast). Raises ModelError where the float model has no such tensor, or
    one of another shape: the rewrites may differ.
    """
    read = load(reference)
    check_opens(reference)
    model = prepare(read).model
    tensor = taken.step.outputs[0].removesuffix(STORED)
    names = [str(value.name) for value in model.graph.inputs if not value.is_initializer()]
    with as_session_source(expose(model, [tensor])) as source:
        session = DEFAULT.open(source, threads=1, spinning=False)
        try:
            (found,) = session.run(renamed(feeds, names))
        finally:
            session.close()
    if found.shape != taken.results[0].shape:
        raise ModelError(
            f"{reference}: {tensor!r} has shape {list(found.shape)} and {list(taken.results[0].shape)} in integers; "
            "quantising rewrote that part, choose another node"
        )
    if len(place) > 2:
        place = (place[0], like_channel(place[1], taken.results[0], found), *place[2:])
    return float(found[place]), place


def like_channel(channel: int, integers: Array, floats: Array) -> int:
    """The channel of the float tensor, (images, channels, …), that a channel of the quantised one stands for.

    Quantising may reorder channels, and the file does not say how: it is the one whose map correlates best, where the
    integers are not at the ends of their range, as behind a fused Relu. The same number where no other correlates
    clearly better.
    """
    mine, others = (np.moveaxis(one.astype(np.float64), 1, 0).reshape(one.shape[1], -1) for one in (integers, floats))
    within = (mine[channel] > mine.min()) & (mine[channel] < mine.max())
    row, rows = mine[channel, within], others[:, within]
    if not row.size:
        return channel
    row, rows = row - row.mean(), rows - rows.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(rows, axis=1) * np.linalg.norm(row)
    likeness = np.divide(rows @ row, norms, out=np.zeros(len(norms)), where=norms > 0)
    best = int(likeness.argmax())
    return best if likeness[best] > likeness[channel] + _CLEARLY else channel
