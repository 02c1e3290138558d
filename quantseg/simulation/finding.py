"""One node of a program, and the same tensor in the float model."""

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantseg.errors import ModelError, PlanError
from quantseg.graph import as_session_source, expose, load
from quantseg.graph.preparation import prepare
from quantseg.runtimes import DEFAULT
from quantseg.simulation.program import Program
from quantseg.simulation.running import TakenStep, run

Array = NDArray[Any]
STORED = "_quantized"
"""What the name of a tensor's integers ends in, after the float tensor's name."""


def find(program: Program, feeds: Mapping[str, Array], node: str, *, rounding: str = "onnxruntime") -> TakenStep:
    """The step of this node, or that makes a tensor of this name, taken with its operands.

    Raises ModelError where there is none, naming those that are like it.
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
    """0,5,12,30 as numbers. Raises PlanError for anything else."""
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError as error:
        raise PlanError(f"{text!r} is no place; give whole numbers with commas between, as 0,5,12,30") from error


def beside(reference: Path, taken: TakenStep, place: tuple[int, ...], feeds: Mapping[str, Array]) -> float:
    """What the float model has at the same place of the same tensor, its normalisations folded as for quantising.

    Channels that quantising equalised (any effort but fast) have another scale inside the network. Raises ModelError
    where it has no such tensor, or one of another shape: quantising may have rewritten that part.
    """
    model = prepare(load(reference)).model
    tensor = taken.step.outputs[0].removesuffix(STORED)
    (name,) = [str(value.name) for value in model.graph.inputs if not value.is_initializer()][:1]
    with as_session_source(expose(model, [tensor])) as source:
        session = DEFAULT.open(source, threads=1, spinning=False)
        try:
            (found,) = session.run({name: next(iter(feeds.values()))})
        finally:
            session.close()
    if found.shape != taken.results[0].shape:
        raise ModelError(
            f"{reference}: {tensor!r} has shape {list(found.shape)} and {list(taken.results[0].shape)} in integers; "
            "quantising rewrote that part, choose another node"
        )
    return float(found[place])
