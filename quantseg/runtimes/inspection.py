"""Which nodes a runtime executes for a model, and how close its convolutions come to this machine's roofline."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantseg.runtimes import Runtime, for_file
from quantseg.runtimes.execution import ExecutedNode, ExecutionSummary, summary
from quantseg.runtimes.roofline import Roofs, beside_roofs


@dataclass(frozen=True)
class Inspection:
    """nodes: the executed ones, in order. roofs: this machine's roofline, measured before and after the model."""

    nodes: tuple[ExecutedNode, ...]
    roofs: Roofs

    @property
    def summary(self) -> ExecutionSummary:
        """The number and time of nodes of each kind, and totals."""
        return summary(self.nodes)

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        nodes = [asdict(node) for node in self.nodes]
        return {"summary": asdict(self.summary), "roofs": asdict(self.roofs), "nodes": nodes}

    def __str__(self) -> str:
        found = self.summary
        kinds = (
            f"\n  {kind:<8} {total.nodes:>4} nodes {100 * total.share:5.1f} % of the time"
            for kind, total in found.kinds.items()
            if total.nodes
        )
        return f"Inspection: {len(self.nodes)} nodes ran in {1e3 * found.seconds:.2f} ms{''.join(kinds)}"


def inspect(model: Path, feeds: Mapping[str, NDArray[Any]], runtime: Runtime, *, threads: int, runs: int) -> Inspection:
    """Profiles `runs` runs of a model. Raises ModelError.

    The roofline is the runtime's also where the file runs in another, see `for_file`.
    """
    own = for_file(runtime, model)
    nodes, roofs = beside_roofs(
        lambda: own.executed(model, feeds, threads=threads, runs=runs), runtime, threads=threads
    )
    return Inspection(nodes, roofs)
