"""What a command of quantseg leaves behind."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Outcome:
    """A command's exit code and its words."""

    code: int
    out: str
    err: str


Command = Callable[..., Outcome]
