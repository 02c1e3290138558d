"""What measuring decided beside the rules; without measuring, nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Placement:
    """Where nodes compute and how they are written.

    kept_float: node → the reason why it computes in float though it has an integer form. integer: nodes that compute in
    integers though the rules might take them back to float. variants: node → the way in which its integer form is
    written, where a format has several.
    """

    kept_float: Mapping[str, str] = field(default_factory=dict)
    integer: frozenset[str] = frozenset()
    variants: Mapping[str, str] = field(default_factory=dict)


UNMEASURED = Placement()
"""The rules alone."""
