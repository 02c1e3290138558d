"""What is learned from: the quantised network and the float one, and the images with the float one's output."""

from dataclasses import dataclass

from quantseg.refinement.rounding.learned.examples import Examples
from quantseg.refinement.rounding.learned.network import Network


@dataclass(frozen=True)
class Task:
    """rounded, plain: the quantised network and the float one. given, answer: names of their input and output."""

    rounded: Network
    plain: Network
    given: str
    answer: str
    examples: Examples
