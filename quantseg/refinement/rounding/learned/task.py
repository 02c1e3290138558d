"""The task of learned rounding: the quantised network, the float one, and the training examples."""

from dataclasses import dataclass

from quantseg.refinement.rounding.learned.examples import Examples
from quantseg.refinement.rounding.learned.network import Network


@dataclass(frozen=True)
class Task:
    """rounded, plain: the quantised and the float network. outputs: names of the outputs that the output head reads."""

    rounded: Network
    plain: Network
    outputs: tuple[str, ...]
    examples: Examples
