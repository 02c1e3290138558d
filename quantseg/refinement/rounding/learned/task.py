"""What is learned from: the quantised network and the float one, and the images with the float one's output."""

from dataclasses import dataclass

from quantseg.refinement.rounding.learned.examples import Examples
from quantseg.refinement.rounding.learned.network import Network


@dataclass(frozen=True)
class Task:
    """rounded, plain: the quantised network and the float one. given: their input.

    outputs: those that count.
    """

    rounded: Network
    plain: Network
    given: str
    outputs: tuple[str, ...]
    examples: Examples
