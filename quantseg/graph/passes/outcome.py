"""The changes and refusals of rewrites, as data for the plan and the report."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """The rewrite named `rewrite` changed `node`."""

    rewrite: str
    node: str
    detail: str


@dataclass(frozen=True)
class Refusal:
    """The rewrite named `rewrite` left `node` as it is, for `reason`."""

    rewrite: str
    node: str
    reason: str


@dataclass(frozen=True)
class RewriteOutcome:
    """Changes and refusals of one or more rewrites; `RewriteOutcome()` is the identity of `+`."""

    changes: tuple[Change, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def __add__(self, other: "RewriteOutcome") -> "RewriteOutcome":
        return RewriteOutcome(self.changes + other.changes, self.refusals + other.refusals)


def outcome_of(*notes: Change | Refusal) -> RewriteOutcome:
    """Sorts notes into changes and refusals, each in the order given."""
    return RewriteOutcome(
        tuple(note for note in notes if isinstance(note, Change)),
        tuple(note for note in notes if isinstance(note, Refusal)),
    )
