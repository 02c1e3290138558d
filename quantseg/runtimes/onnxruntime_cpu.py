"""onnxruntime on the processor: sessions, and its errors in one line."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import onnxruntime
from numpy.typing import NDArray
from onnxruntime.capi import onnxruntime_pybind11_state as native

from quantseg.errors import ModelError
from quantseg.graph import TensorSpec
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.feeds import check_feeds
from quantseg.runtimes.onnxruntime_graph import with_names
from quantseg.runtimes.onnxruntime_profile import profiled, read_profile, save_graph

_ERRORS = (
    native.EPFail,
    native.EngineError,
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NoModel,
    native.NoSuchFile,
    native.NotImplemented,
    native.RuntimeException,
    MemoryError,
    RuntimeError,
)
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
"""Where a model that is given as bytes finds its external data."""
_FATAL = 4
"""The severity from which onnxruntime writes to stderr; the same facts come as exceptions."""
_NUMPY_NAMES = {"float": "float32", "double": "float64"}


@final
@dataclass(frozen=True)
class OnnxRuntimeCpu:
    """onnxruntime with its CPU kernels alone and every graph optimisation, but for those named in `without`."""

    name: str = "onnxruntime"
    version: str = onnxruntime.__version__
    without: tuple[str, ...] = ()
    activation_types: frozenset[str] = frozenset({"uint8", "int8"})

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> "OnnxRuntimeSession":
        """Loads a model; see `Runtime.open`. External data is read from beside a Path only."""
        return OnnxRuntimeSession(model, _options(threads, spinning), without=self.without)

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The nodes of the optimised graph, as the profile of `runs` runs after a first shows them.

        Source: onnxruntime's documentation, "Profiling Tools"; its options are read in
        onnxruntime_session_options_config_keys.h.
        """
        named = with_names(model)

        def session(options: onnxruntime.SessionOptions) -> OnnxRuntimeSession:
            if named is not None and isinstance(model, Path):
                options.add_session_config_entry(_EXTERNAL_DATA, str(model.parent))
            return OnnxRuntimeSession(named or model, options, name=_name(model))

        def save_plain(file: Path) -> None:
            options = _options(threads, spinning=False)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            save_graph(options, file)
            session(options).close()

        with profiled(_options(threads, spinning=True)) as (options, folder):
            opened = session(options)
            try:
                for _ in range(1 + runs):
                    opened.run(feeds)
            finally:
                opened.close()
            return read_profile(folder, save_plain)


WEIGHTS_AS_WRITTEN = OnnxRuntimeCpu(without=("WeightBiasQuantization",))
"""onnxruntime that leaves float weights as they are. By itself it (1.31) rounds those of a Conv that reads a
DequantizeLinear, with one scale for the whole weight: fake quantisation of activations alone would show that instead.
"""


@final
class OnnxRuntimeSession:
    """A model open in onnxruntime. Feeds are checked before it sees them, so that messages name the input."""

    def __init__(
        self,
        model: Path | bytes,
        options: onnxruntime.SessionOptions,
        *,
        name: str | None = None,
        without: Sequence[str] = (),
    ) -> None:
        self._name = name or _name(model)
        with _one_line(self._name, "cannot open it", "check it with onnx.checker"):
            self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
            )
            self.inputs = tuple(map(_spec, self._session.get_inputs()))
            self.outputs = tuple(map(_spec, self._session.get_outputs()))

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs, or all, for one set of inputs; see `Session.run`."""
        assert self._session is not None, "the session is closed"
        check_feeds(self._name, self.inputs, feeds)
        with _one_line(self._name, "failed while running it", "try another input size"):
            results: list[NDArray[Any]] = self._session.run(outputs, dict(feeds))
        return results

    def close(self) -> None:
        """Frees the native session and its threads; a profile is written then."""
        self._session = None


def _name(model: Path | bytes) -> str:
    return "model" if isinstance(model, bytes) else str(model)


def _options(threads: int, spinning: bool) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = _FATAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
    return options


def _spec(argument: Any) -> TensorSpec:
    element = argument.type.removeprefix("tensor(").removesuffix(")")
    shape = tuple(size if isinstance(size, int) else None for size in argument.shape)
    return TensorSpec(argument.name, _NUMPY_NAMES.get(element, element), shape)


@contextmanager
def _one_line(model: str, fact: str, remedy: str) -> Iterator[None]:
    """Turns onnxruntime's exceptions into ModelError; their text names the node where there is one."""
    try:
        yield
    except _ERRORS as error:
        # "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Conv(1) node …"
        reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error))
        shortened = textwrap.shorten(reason, 300, placeholder=" …")
        raise ModelError(f"{model}: onnxruntime {fact} ({shortened}); {remedy}") from error
