"""onnxruntime with its CPU execution provider; its exceptions become one-line ModelErrors."""

import functools
import re
import tempfile
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

from numpy.typing import NDArray

from quantseg.errors import ModelError, text_of
from quantseg.files import limits
from quantseg.graph import TensorSpec
from quantseg.runtimes.deadlines import DEADLINES
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.feeds import check_feeds
from quantseg.runtimes.onnxruntime_graph import NodeFacts, NodeKey, with_names
from quantseg.runtimes.onnxruntime_package import onnxruntime
from quantseg.runtimes.onnxruntime_profile import profiled, read_facts, read_profile, save_graph

native = onnxruntime.capi.onnxruntime_pybind11_state

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
    UnicodeDecodeError,
)
_EXTERNAL_DATA = "session.model_external_initializers_file_folder_path"
"""Session option: the folder of the external data of a model that is given as bytes."""
_FATAL = 4
"""The log severity from which onnxruntime writes to stderr: errors are raised as exceptions anyway."""
_NUMPY_NAMES = {"float": "float32", "double": "float64"}


@final
@dataclass(frozen=True)
class OnnxRuntimeCpu:
    """onnxruntime's CPU execution provider, with all graph optimisations except those named in `without`.

    timeout: most seconds of one run; None: any. It is looked at between nodes, so a single kernel is never cut off.
    """

    name: str = "onnxruntime"
    version: str = onnxruntime.__version__
    without: tuple[str, ...] = ()
    timeout: float | None = limits.RUN_SECONDS
    activation_types: frozenset[str] = frozenset({"uint8", "int8"})

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> "OnnxRuntimeSession":
        """Loads a model; see `Runtime.open`. External data is found only if the model is given as a Path."""
        return OnnxRuntimeSession(model, _options(threads, spinning), without=self.without, timeout=self.timeout)

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The executed nodes of the optimised graph, from a profile of `runs` runs after one warm-up run.

        Source: onnxruntime's documentation, "Profiling Tools"; session options:
        onnxruntime_session_options_config_keys.h.
        """
        named = with_names(model)

        def save_plain(file: Path) -> None:
            options = _options(threads, spinning=False)
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
            save_graph(options, file)
            _named_session(model, named, options).close()

        with profiled(_options(threads, spinning=True)) as (options, folder):
            opened = _named_session(model, named, options, timeout=self.timeout)
            try:
                for _ in range(1 + runs):
                    opened.run(feeds)
            finally:
                opened.close()
            return read_profile(folder, save_plain)


def check_opens(model: Path | bytes) -> None:
    """Raises ModelError, which names the node where there is one, for a model that onnxruntime cannot open as written.

    It is asked before a float model's graph is rewritten: onnxruntime infers every shape and type, so the rewrites need
    not expect a Conv with a vector as its kernel. No optimisation runs and no weight is prepared for a kernel. Names of
    nodes may be double, as the rewrites make them unique.
    """
    options = _options(threads=1, spinning=False)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_prepacking", "1")
    try:
        OnnxRuntimeSession(model, options).close()
    except ModelError:
        named = with_names(model)
        if named is None:
            raise
        _named_session(model, named, options).close()


def optimised_facts(model: bytes) -> Mapping[NodeKey, NodeFacts]:
    """Facts of the nodes as onnxruntime optimises them, in the graph's own layouts. Raises ModelError."""
    options = _options(threads=1, spinning=False)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        file = Path(folder) / "optimized.onnx"
        save_graph(options, file)
        OnnxRuntimeSession(model, options).close()
        return read_facts(file)


def _named_session(
    model: Path | bytes, named: bytes | None, options: onnxruntime.SessionOptions, *, timeout: float | None = None
) -> "OnnxRuntimeSession":
    """A session of the model as `with_names` gives it; its external data stay beside the file."""
    if named is not None and isinstance(model, Path):
        options.add_session_config_entry(_EXTERNAL_DATA, str(model.parent))
    return OnnxRuntimeSession(named or model, options, name=_name(model), timeout=timeout)


WEIGHTS_AS_WRITTEN = OnnxRuntimeCpu(without=("WeightBiasQuantization",))
"""onnxruntime without its WeightBiasQuantization optimiser, so that float weights stay as written.

With it, onnxruntime (1.31) quantises, per tensor, the float weight of a Conv that reads a DequantizeLinear, which would
distort measurements with fake-quantised activations and float weights.
"""


@final
class OnnxRuntimeSession:
    """A model open in onnxruntime. Feeds are checked beforehand, so that error messages name the input."""

    def __init__(
        self,
        model: Path | bytes,
        options: onnxruntime.SessionOptions,
        *,
        name: str | None = None,
        without: Sequence[str] = (),
        timeout: float | None = None,
    ) -> None:
        self._name, self._timeout = name or _name(model), timeout
        with _one_line(self._name, "cannot open it", "check it with onnx.checker"):
            self._session: onnxruntime.InferenceSession | None = onnxruntime.InferenceSession(
                model, options, providers=["CPUExecutionProvider"], disabled_optimizers=list(without)
            )
            self.inputs = tuple(map(_spec, self._session.get_inputs()))
            self.outputs = tuple(map(_spec, self._session.get_outputs()))

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs (all by default) for one set of inputs; see `Session.run`.

        Raises ModelError also where the run was ended because it took more than the timeout.
        """
        assert self._session is not None, "the session is closed"
        check_feeds(self._name, self.inputs, feeds)
        with _one_line(self._name, "failed while running it", "try another input size"):
            if self._timeout is None:
                results: list[NDArray[Any]] = self._session.run(outputs, dict(feeds))
                return results
            how = onnxruntime.RunOptions()
            how.log_severity_level = _FATAL
            with DEADLINES.within(self._timeout, functools.partial(setattr, how, "terminate", True)):
                try:
                    results = self._session.run(outputs, dict(feeds), how)
                except _ERRORS as error:
                    if how.terminate:
                        raise _ended(self._name, self._timeout, str(error)) from error
                    raise
        return results

    def close(self) -> None:
        """Frees the native session and its threads, and writes the profile if profiling is on."""
        self._session = None


def _name(model: Path | bytes) -> str:
    return "model" if isinstance(model, bytes) else str(model)


def _ended(model: str, timeout: float, reason: str) -> ModelError:
    """The error of a run that took too long. reason: onnxruntime's text, which names the node that was running."""
    node = re.search(r"running (\w+) node\. Name:'([^']*)'", reason)
    where = f" in {node[1]} {node[2]!r}" if node else ""
    return ModelError(
        f"{model}: took more than {timeout:g} s for one image{where}; give more with timeout=…, or mend it"
    )


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
    """Turns onnxruntime's exceptions into one-line ModelErrors; onnxruntime's text names the node if there is one."""
    try:
        yield
    except _ERRORS as error:
        # "[ONNXRuntimeError] : 9 : NOT_IMPLEMENTED : Could not find an implementation for Conv(1) node …"
        reason = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text_of(error))
        shortened = textwrap.shorten(reason, 300, placeholder=" …")
        raise ModelError(f"{model}: onnxruntime {fact} ({shortened}); {remedy}") from error
