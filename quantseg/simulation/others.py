"""What a simulation is compared with: a runtime, another model, a run that was saved."""

from collections.abc import Mapping
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
    """Gives the tensors that it computed for an image, by name; those that it does not know are left out."""

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """All tensors of one image."""

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The model's outputs as users get them, where that is another run; else nothing."""

    def close(self) -> None:
        """Frees what is open."""


class InRuntime:
    """A runtime with its optimisations on. Its inner tensors are outputs of a second session of the same model."""

    def __init__(self, model: ir.Model, program: Program, runtime: Runtime, *, threads: int) -> None:
        """Raises ModelError where the runtime does not take the model."""
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
        """Every tensor that a step makes."""
        return dict(zip(self._names, self._exposed.run(feeds), strict=True))

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The outputs of the model as it is."""
        return dict(zip(self._final, self._plain.run(feeds), strict=True))

    def close(self) -> None:
        """Closes both sessions."""
        self._plain.close()
        self._exposed.close()


def _opened(model: ir.Model, runtime: Runtime, threads: int) -> Session:
    with as_session_source(model) as source:
        return runtime.open(source, threads=threads, spinning=False)


class Simulated:
    """Another program, or the same one that rounds in another way, in the simulator."""

    def __init__(self, program: Program, rounding: str, processor: SimulatedProcessor = EXACT) -> None:
        self._program, self._rounding, self._processor = program, rounding, processor

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Every tensor that a step of that program makes. Its input may have another name."""
        fed = dict(zip(self._program.inputs, feeds.values(), strict=False))
        taken = run(self._program, fed, rounding=self._rounding, processor=self._processor)
        return {name: found for one in taken for name, found in one.named}

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Nothing: its outputs are among its tensors."""
        return {}

    def close(self) -> None:
        """Nothing is open."""
