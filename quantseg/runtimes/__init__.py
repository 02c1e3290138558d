"""Runtimes: run a model on this machine, and report which kernels were executed.

A new runtime is one module with a class that satisfies `Runtime`, and one line in `RUNTIMES`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray

from quantseg.errors import QuantSegError
from quantseg.files.limits import RUN_SECONDS
from quantseg.files.tflite import SUFFIX
from quantseg.graph import TensorSpec
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.litert import LiteRt
from quantseg.runtimes.onnxruntime_cpu import WEIGHTS_AS_WRITTEN, OnnxRuntimeCpu, check_opens
from quantseg.runtimes.onnxruntime_web import OnnxRuntimeWeb
from quantseg.runtimes.openvino_cpu import OpenVinoCpu

__all__ = [
    "DEFAULT",
    "RUNTIMES",
    "RUN_SECONDS",
    "WEIGHTS_AS_WRITTEN",
    "ExecutedNode",
    "InProcess",
    "Runtime",
    "Session",
    "TimedThere",
    "as_written",
    "check_opens",
    "for_file",
    "runtime_named",
    "within",
]


class Session(Protocol):
    """An open model. `close` frees its memory and threads; a closed session must not be used again."""

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs; a dynamic dimension is None."""

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """The model's outputs, in their order in the model."""

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs (all by default) for one set of inputs. Raises ModelError where the inputs do not fit."""

    def close(self) -> None:
        """Frees the session."""


class Runtime(Protocol):
    """A library that runs ONNX models on this machine, such as onnxruntime."""

    @property
    def name(self) -> str:
        """The runtime's key in `RUNTIMES`."""

    @property
    def version(self) -> str:
        """The installed version."""

    @property
    def activation_types(self) -> frozenset[str]:
        """Activation types for which there are integer convolution kernels; with others convolutions run in float."""

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> Session:
        """Loads a model, graph optimisations on. Raises ModelError, and MissingExtraError where an extra is missing.

        `threads`: intra-op threads. `spinning`: whether they wait for work in a busy loop, which is faster while one
        session has the machine to itself and slower beside other sessions.
        """

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The executed nodes in order, each with its median time over `runs` runs after one warm-up run."""


@runtime_checkable
class TimedThere(Protocol):
    """What a Session may also offer whose model runs in another process: to be timed there, without any transfer."""

    def times(self, feeds: Mapping[str, NDArray[Any]], *, warm_up: int, runs: int) -> list[float]:
        """Seconds of each of `runs` runs, after at least `warm_up` more. Raises ModelError."""


@runtime_checkable
class InProcess(Protocol):
    """What a Runtime may also offer whose models run in a process of its own."""

    def process(self, threads: int) -> int:
        """The id of that process, which is started if need be."""


RUNTIMES: dict[str, Runtime] = {
    "onnxruntime": OnnxRuntimeCpu(),
    "onnxruntime-web": OnnxRuntimeWeb(),
    "openvino": OpenVinoCpu(),
    "litert": LiteRt(),
    "litert-reference": LiteRt("litert-reference", reference=True),
}

DEFAULT: Runtime = RUNTIMES["onnxruntime"]
"""The runtime that is used where none is named."""


def runtime_named(name: str) -> Runtime:
    """The runtime of that name. Raises QuantSegError for an unknown name."""
    if name not in RUNTIMES:
        *first, last = RUNTIMES
        raise QuantSegError(f"{name!r} is no runtime; choose {', '.join(first)} or {last}")
    return RUNTIMES[name]


def for_file(runtime: Runtime, model: Path | bytes) -> Runtime:
    """The runtime that runs a file: LiteRT for .tflite files, which no other runtime runs, else the one given."""
    is_tflite = isinstance(model, Path) and model.suffix == SUFFIX
    return RUNTIMES["litert"] if is_tflite and not isinstance(runtime, LiteRt) else runtime


def within(runtime: Runtime, timeout: float | None) -> Runtime:
    """The runtime with a limit on the seconds of one run; None or 0: no limit. OpenVINO knows none."""
    if isinstance(runtime, OnnxRuntimeCpu | OnnxRuntimeWeb):
        return replace(runtime, timeout=timeout or None)
    return runtime


def as_written(runtime: Runtime) -> Runtime:
    """WEIGHTS_AS_WRITTEN with the time limit of `runtime`."""
    return within(WEIGHTS_AS_WRITTEN, runtime.timeout) if isinstance(runtime, OnnxRuntimeCpu) else WEIGHTS_AS_WRITTEN
