"""Runtimes: what opens a model and runs it, and what tells which kernels it really ran.

A new runtime is one module that satisfies `Runtime` and one line in `RUNTIMES`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from quantseg.errors import QuantSegError
from quantseg.graph import TensorSpec
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.onnxruntime_cpu import WEIGHTS_AS_WRITTEN, OnnxRuntimeCpu
from quantseg.runtimes.openvino_cpu import OpenVinoCpu

__all__ = ["DEFAULT", "RUNTIMES", "WEIGHTS_AS_WRITTEN", "ExecutedNode", "Runtime", "Session", "runtime_named"]


class Session(Protocol):
    """An open model. `close` frees it and the threads it keeps; a closed session is not used again."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """What the model must be fed; a dynamic dimension is None."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """What the model gives, in its order."""

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs, or all, for one set of inputs. Raises ModelError where they do not fit."""

    def close(self) -> None:
        """Frees the session."""


class Runtime(Protocol):
    """An engine that runs ONNX models on this machine."""

    @property
    def name(self) -> str:
        """Its key in `RUNTIMES`."""

    @property
    def version(self) -> str:
        """The installed version."""

    @property
    def activation_types(self) -> frozenset[str]:
        """Integer types of activations for which it has convolution kernels; with others it computes in float."""

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> Session:
        """Loads a model with its optimisations on. Raises ModelError, and MissingExtraError where an extra is missing.

        `threads` work on one operator; `spinning` lets them wait for work in a busy loop, which is faster
        while one session has the machine to itself and slower beside others.
        """

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The nodes that the runtime ran for these feeds, in order, timed over `runs` runs after a first."""


RUNTIMES: dict[str, Runtime] = {"onnxruntime": OnnxRuntimeCpu(), "openvino": OpenVinoCpu()}

DEFAULT: Runtime = RUNTIMES["onnxruntime"]
"""What runs models where nobody names a runtime."""


def runtime_named(name: str) -> Runtime:
    """The runtime of that name. Raises QuantSegError for another word."""
    if name not in RUNTIMES:
        raise QuantSegError(f"{name!r} is no runtime; choose {' or '.join(RUNTIMES)}")
    return RUNTIMES[name]
