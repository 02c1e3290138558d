"""A target: one kind of file, how an odd one is made, and what a command does with it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

Step = Callable[[Random, Path], None]
"""(source of chance, the input's own folder) → nothing; what it makes lies in the folder."""


@dataclass(frozen=True)
class Target:
    """reads: the kind of file, for the table. make: writes an input. run: reads it as a command does.

    `run` writes only to files whose names begin with OUTPUT. Both take all chance from the Random, whose seed is the
    input's.
    """

    reads: str
    make: Step
    run: Step


OUTPUT = "out"
"""How the names of files begin that `run` may write."""


def chance(target: str, seed: int) -> Random:
    """The source of chance of one input: the same on every machine and in every process."""
    return Random(f"{target}:{seed}")
