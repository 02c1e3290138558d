"""OpenVINO's CPU plugin; its exceptions become one-line ModelErrors. OpenVINO is imported on first use."""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import MissingExtraError, ModelError
from quantseg.graph import TensorSpec
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.feeds import check_feeds
from quantseg.runtimes.openvino_profile import executed_nodes, layers, seconds_by_node

_SINK = "/sink_port_0"
"""The suffix that OpenVINO appends to the name of a model output."""
_ELEMENTS = {"f16": "float16", "bf16": "bfloat16", "f32": "float32", "f64": "float64", "boolean": "bool"}
_READING_ERRORS = (
    *("GeneralFailure", "InitializationFailure", "NotImplementedFailure", "OpConversionFailure", "OpValidationFailure"),
)
_PLACES = re.compile(r"Exception from \S+:\s|Check '.*' failed at \S+:\s|FrontEnd API failed with \w+:\s|^-- ", re.M)
"""Source locations in OpenVINO's messages, at the head of each line: removed from our messages."""
_ASIDE = re.compile(r"Failed operations detailed log:.*?Summary:|Summary:|To facilitate the conversion.*", re.DOTALL)
"""Headings and hints in OpenVINO's messages: removed from our messages."""


def openvino() -> ModuleType:
    """The openvino package. Raises MissingExtraError where it is not installed."""
    try:
        import openvino
        import openvino.frontend
    except ImportError as error:
        raise MissingExtraError('OpenVINO is not installed; pip install "quantseg[openvino]"') from error
    return openvino  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class OpenVinoCpu:
    """OpenVINO's CPU plugin, configured for latency.

    The inference precision is set to float32: on processors with AMX or AVX-512 bfloat16 instructions the plugin would
    by default run float models in bfloat16, faster but with half of the significant digits. Quantised operators run in
    integers all the same. A model of dynamic size is compiled for the sizes of its first inputs, as OpenVINO's guide
    advises, and again when they change.
    Source: OpenVINO documentation, "CPU Device" and "Precision Control".
    """

    name: str = "openvino"
    activation_types: frozenset[str] = frozenset({"uint8", "int8"})

    @property
    def version(self) -> str:
        """The installed version, without build number. Raises MissingExtraError."""
        version: str = openvino().__version__
        return version.split("-")[0]

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> "OpenVinoSession":
        """Loads an ONNX model or OpenVINO IR (.xml); see `Runtime.open`. Raises MissingExtraError too.

        `spinning` has no effect: OpenVINO's threads sleep between inferences, and there is no such setting.
        """
        return OpenVinoSession(model, threads)

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The executed nodes of the compiled graph, from the performance counters of `runs` runs after one warm-up."""
        session = OpenVinoSession(model, threads, counting=True)
        try:
            times = []
            for _ in range(1 + runs):
                session.run(feeds)
                times.append(seconds_by_node(session.request(feeds).profiling_info))
            return executed_nodes(layers(session.request(feeds).get_compiled_model().get_runtime_model()), times[1:])
        finally:
            session.close()


@final
class OpenVinoSession:
    """A model open in OpenVINO. Feeds are checked beforehand, so that error messages name the input."""

    def __init__(self, model: Path | bytes, threads: int, *, counting: bool = False) -> None:
        self._name = "model" if isinstance(model, bytes) else str(model)
        self._config = {
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            "INFERENCE_NUM_THREADS": threads,
            "INFERENCE_PRECISION_HINT": "f32",
            "PERF_COUNT": counting,
        }
        self._core = openvino().Core()
        self._request: Any = None
        self._shapes: list[tuple[int, ...]] = []
        with _one_line(self._name, "cannot open it", "run it in onnxruntime, or give its QDQ form"):
            self._model: Any = read_model(model)
            self.inputs = tuple(map(_spec, self._model.inputs))
            self.outputs = tuple(map(_spec, self._model.outputs))
            self._dynamic = any(None in spec.shape for spec in self.inputs)
            if not self._dynamic:
                self._request = self._compiled()

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs (all by default), see `Session.run`. Later runs do not overwrite the arrays."""
        check_feeds(self._name, self.inputs, feeds)
        with _one_line(self._name, "failed while running it", "try another input size"):
            request = self.request(feeds)
            # OpenVINO writes into these arrays and reads the feeds in place: nothing is copied, as in onnxruntime.
            results = [self._target(request, index) for index in range(len(self.outputs))]
            request.infer([feeds[spec.name] for spec in self.inputs], share_inputs=True, share_outputs=True)
            given = [
                np.array(request.get_output_tensor(index).data) if result is None else result
                for index, result in enumerate(results)
            ]
        names = [spec.name for spec in self.outputs]
        return given if outputs is None else [given[names.index(name)] for name in outputs]

    def request(self, feeds: Mapping[str, NDArray[Any]]) -> Any:
        """OpenVINO's inference request for feeds of these shapes; compiles the model for them if needed."""
        assert self._model is not None, "the session is closed"
        shapes = [feeds[spec.name].shape for spec in self.inputs]
        if self._dynamic and shapes != self._shapes:
            self._model.reshape({index: list(shape) for index, shape in enumerate(shapes)})
            self._request, self._shapes = self._compiled(), shapes
        return self._request

    def close(self) -> None:
        """Frees the compiled model."""
        self._request = self._model = None

    def _compiled(self) -> Any:
        return self._core.compile_model(self._model, "CPU", self._config).create_infer_request()

    def _target(self, request: Any, index: int) -> NDArray[Any] | None:
        """A new array that the request writes an output into; None if its shape is known only after the run."""
        output = request.model_outputs[index]
        if output.get_partial_shape().is_dynamic:
            return None
        array: NDArray[Any] = np.empty(tuple(output.get_shape()), output.get_element_type().to_dtype())
        request.set_output_tensor(index, openvino().Tensor(array, shared_memory=True))
        return array


def read_model(model: Path | bytes) -> Any:
    """Reads an ONNX model, or OpenVINO IR from a path that ends in .xml, as an openvino.Model.

    OpenVINO's ONNX front end is named explicitly: otherwise all front ends try the file, and some write to standard
    error. Raises MissingExtraError, and OpenVINO's own exceptions.
    """
    package = openvino()
    if isinstance(model, Path) and model.suffix == ".xml":
        return package.Core().read_model(model)
    reader = package.frontend.FrontEndManager().load_by_framework("onnx")
    read = reader.convert(reader.load(BytesIO(model) if isinstance(model, bytes) else model))
    if not read.outputs:
        raise RuntimeError("it is empty")
    return read


def reason(error: Exception) -> str:
    """The message of an OpenVINO exception in one line, without source locations."""
    text = " ".join(_PLACES.sub("", _ASIDE.sub("", str(error))).split())
    return textwrap.shorten(text or type(error).__name__, 300, placeholder=" …")


def _spec(port: Any) -> TensorSpec:
    element = port.get_element_type().get_type_name()
    name = _ELEMENTS.get(element) or element.replace("i", "int").replace("u", "uint")
    shape = tuple(size.get_length() if size.is_static else None for size in port.get_partial_shape())
    return TensorSpec(port.get_node().get_friendly_name().removesuffix(_SINK), name, shape)


@contextmanager
def _one_line(model: str, fact: str, remedy: str) -> Iterator[None]:
    """Turns OpenVINO's exceptions into one-line ModelErrors; its front ends raise types of their own."""
    of_readers = (getattr(openvino().frontend, name) for name in _READING_ERRORS)
    errors: tuple[type[Exception], ...] = (RuntimeError, MemoryError, *of_readers)
    try:
        yield
    except errors as error:
        raise ModelError(f"{model}: openvino {fact} ({reason(error)}); {remedy}") from error
