"""What a simulation can be compared with: a runtime, another quantised model, or a saved run."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.graph import as_session_source, expose, make_unique
from quantseg.runtimes import Runtime, Session
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor
from quantseg.simulation.program import Program
from quantseg.simulation.running import run

Array = NDArray[Any]


class Other(Protocol):
    """Another computation of the same tensors. It may lack some of them."""

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """All its tensors for one image, by name."""

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs of a separate run of the original model, if there is one; else an empty mapping."""

    def close(self) -> None:
        """Closes sessions and files."""


class InRuntime:
    """A runtime with its graph optimisations on. A second session of the model has the inner tensors as outputs."""

    def __init__(self, model: ir.Model, program: Program, runtime: Runtime, *, threads: int) -> None:
        """Raises ModelError where the runtime cannot load the model."""
        clone = model.clone()
        make_unique(clone)
        self._names = tuple(name for step in program.steps for name in step.outputs if name)
        self._final = program.outputs
        self._plain = _opened(clone, runtime, threads)
        try:
            self._exposed = _opened(expose(clone, self._names), runtime, threads)
        except BaseException:
            self._plain.close()
            raise

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The output tensors of every step."""
        return dict(zip(self._names, self._exposed.run(feeds), strict=True))

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs of the unmodified model."""
        return dict(zip(self._final, self._plain.run(feeds), strict=True))

    def close(self) -> None:
        """Closes both sessions."""
        self._plain.close()
        self._exposed.close()


def renamed(feeds: Mapping[str, Array], inputs: Sequence[str]) -> dict[str, Array]:
    """The feeds for a model with these inputs: by name, and those of other names in order."""
    left = iter([array for name, array in feeds.items() if name not in inputs])
    missing = [name for name in inputs if name not in feeds]
    return {name: feeds[name] for name in inputs if name in feeds} | dict(zip(missing, left, strict=False))


def _opened(model: ir.Model, runtime: Runtime, threads: int) -> Session:
    with as_session_source(model) as source:
        return runtime.open(source, threads=threads, spinning=False)


class Simulated:
    """The simulator itself, with another program or another rounding mode."""

    def __init__(self, program: Program, rounding: str, processor: SimulatedProcessor = EXACT) -> None:
        self._program, self._rounding, self._processor = program, rounding, processor

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The output tensors of every step of that program, whose inputs may have other names."""
        fed = renamed(feeds, self._program.inputs)
        taken = run(self._program, fed, rounding=self._rounding, processor=self._processor)
        return {name: found for one in taken for name, found in one.named}

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Empty: there is no separate run."""
        return {}

    def close(self) -> None:
        """Nothing is open."""
