"""LiteRT runs .tflite files: with XNNPACK, as on phones, or with its reference kernels, which define its results.

The package ai-edge-litert is imported on first use. Files of this tool hold images in NHWC order and say so; feeds and
outputs have the axes of the ONNX model all the same.
"""

import os
import sys
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from quantseg.errors import MissingExtraError, ModelError, text_of
from quantseg.files import limits, read_bytes
from quantseg.files.tflite import SUFFIX, decode, our_metadata
from quantseg.graph import TensorSpec
from quantseg.runtimes.execution import ExecutedNode, kind_of
from quantseg.runtimes.feeds import check_feeds

PACKAGE = "ai-edge-litert"
_BOUNDARY = {"QUANTIZE": "QuantizeLinear", "DEQUANTIZE": "DequantizeLinear"}
_MOVING = {
    "CONCATENATION": "Concat", "DEPTH_TO_SPACE": "DepthToSpace", "GATHER": "Gather", "PAD": "Pad", "RESHAPE": "Reshape",
    "SLICE": "Slice", "SPLIT": "Split", "STRIDED_SLICE": "Slice", "TRANSPOSE": "Transpose",
}  # fmt: skip
_PRODUCTS = {"CONV_2D": "Conv", "DEPTHWISE_CONV_2D": "Conv", "TRANSPOSE_CONV": "ConvTranspose"}
_AS_ONNX = {**_BOUNDARY, **_MOVING, **_PRODUCTS}
"""Operators of LiteRT → the operator of ONNX that does the same."""


def interpreter() -> ModuleType:
    """The module ai_edge_litert.interpreter. Raises MissingExtraError where it is not installed."""
    try:
        from ai_edge_litert import interpreter as module
    except ImportError as error:
        raise MissingExtraError('LiteRT is not installed; pip install "quantseg[litert]"') from error
    return module  # type: ignore[no-any-return]


@final
@dataclass(frozen=True)
class LiteRt:
    """LiteRT's interpreter. reference: with the reference kernels alone, else with XNNPACK where it has a kernel."""

    name: str = "litert"
    reference: bool = False
    activation_types: frozenset[str] = frozenset({"int8"})

    @property
    def version(self) -> str:
        """The installed version. Raises MissingExtraError."""
        interpreter()
        try:
            return version(PACKAGE)
        except PackageNotFoundError:  # a folder on the path, without the package's metadata
            return "unknown"

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> "LiteRtSession":
        """Loads a .tflite file; see `Runtime.open`. Raises MissingExtraError too.

        `spinning` has no effect: there is no such setting.
        """
        return LiteRtSession(model, threads, reference=self.reference)

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The operators of the file with the types that they run on, in order.

        LiteRT's Python package has no profiler: seconds and shares are 0.
        """
        session = LiteRtSession(model, threads, reference=self.reference)
        try:
            session.run(feeds)
            return session.operators
        finally:
            session.close()


@final
class LiteRtSession:
    """A .tflite file open in LiteRT. Feeds are checked beforehand, so that error messages name the input."""

    def __init__(self, model: Path | bytes, threads: int, *, reference: bool, exposing: bool = False) -> None:
        """exposing: whether every tensor can be read after a run; see `tensors`."""
        module = interpreter()
        self._name = "model" if isinstance(model, bytes) else str(model)
        content = model if isinstance(model, bytes) else _content(model)
        orders = our_metadata(decode(content, self._name)).get("orders", {})
        with _one_line(self._name, "cannot open it"), _quiet():
            resolver = module.OpResolverType.BUILTIN_REF if reference else module.OpResolverType.BUILTIN
            self._interpreter: Any = module.Interpreter(
                model_content=content,
                num_threads=threads,
                experimental_op_resolver_type=resolver,
                experimental_preserve_all_tensors=exposing,
            )
            self._interpreter.allocate_tensors()
        self._inputs = tuple(_Port.of(one, orders.get("inputs", {})) for one in self._interpreter.get_input_details())
        self._outputs = tuple(
            _Port.of(one, orders.get("outputs", {})) for one in self._interpreter.get_output_details()
        )
        self.inputs = tuple(port.spec for port in self._inputs)
        self.outputs = tuple(port.spec for port in self._outputs)

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs (all by default), see `Session.run`."""
        assert self._interpreter is not None, "the session is closed"
        check_feeds(self._name, self.inputs, feeds)
        with _one_line(self._name, "failed while running it"):
            for port in self._inputs:
                self._interpreter.set_tensor(port.index, port.inwards(feeds[port.spec.name]))
            self._interpreter.invoke()
            wanted = {port.spec.name: port for port in self._outputs}
            names = list(wanted) if outputs is None else outputs
            return [wanted[name].outwards(self._interpreter.get_tensor(wanted[name].index)) for name in names]

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Every tensor that the last run computed, by name, in the file's own order of axes."""
        found: dict[str, NDArray[Any]] = {}
        for one in self._interpreter.get_tensor_details():
            try:
                found[str(one["name"])] = self._interpreter.get_tensor(one["index"])
            except ValueError:  # a tensor without data, as kernels have for themselves
                continue
        return found

    @property
    def operators(self) -> tuple[ExecutedNode, ...]:
        """The file's operators, by their ONNX names where they have one; seconds and shares are 0."""
        found = []
        for one in self._interpreter._get_ops_details():
            if one["op_name"] == "DELEGATE":
                continue
            kinds = [[np.dtype(dtype).name for dtype in one[side]] for side in ("operand_types", "result_types")]
            name = str(self._interpreter._get_tensor_details(int(one["outputs"][0]), 0)["name"])
            as_onnx = _AS_ONNX.get(one["op_name"], one["op_name"])
            data = ["float" if kind == "float32" else kind for kind in (*_first(kinds[0]), *kinds[1])]
            kind = kind_of(as_onnx, data[:1], data[1:])
            found.append(ExecutedNode(name, as_onnx, "litert", kind, 0.0, 0.0))
        return tuple(found)

    def close(self) -> None:
        """Frees the interpreter."""
        self._interpreter = None


@dataclass(frozen=True)
class _Port:
    """An input or output. index: its tensor. spec: as in the ONNX model. order: which of its axes each axis holds."""

    index: int
    spec: TensorSpec
    order: tuple[int, ...]

    @staticmethod
    def of(details: Mapping[str, Any], orders: Mapping[str, Sequence[int]]) -> "_Port":
        name, shape = str(details["name"]), tuple(int(size) for size in details["shape"])
        order = tuple(int(axis) for axis in orders.get(name, range(len(shape))))
        if sorted(order) != list(range(len(shape))):
            raise ModelError(f"{name!r}: its order of axes {list(order)} is none; write the file again")
        logical = tuple(shape[order.index(axis)] for axis in range(len(shape)))
        return _Port(int(details["index"]), TensorSpec(name, np.dtype(details["dtype"]).name, logical), order)

    def inwards(self, array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(array.transpose(self.order))

    def outwards(self, array: NDArray[Any]) -> NDArray[Any]:
        return np.ascontiguousarray(array.transpose(np.argsort(self.order)))


def _first(types: Sequence[str]) -> list[str]:
    """The type of the first operand that is data: a SPLIT and a TRANSPOSE_CONV begin with sizes."""
    return [next((kind for kind in types if kind not in ("int32", "int64")), types[0])] if types else []


def _content(path: Path) -> bytes:
    if path.suffix != SUFFIX:
        raise ModelError(f"{path}: LiteRT runs {SUFFIX} files; quantise with target=litert")
    try:
        return read_bytes(path, most=limits.MODEL_BYTES)
    except OSError as error:
        raise ModelError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error


@contextmanager
def _one_line(model: str, fact: str) -> Iterator[None]:
    """Turns LiteRT's exceptions into one-line ModelErrors."""
    try:
        yield
    except (RuntimeError, ValueError, TypeError, MemoryError) as error:
        reason = textwrap.shorten(text_of(error), 300, placeholder=" …")
        raise ModelError(f"{model}: LiteRT {fact} ({reason}); write the file again with this version") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """What LiteRT writes to standard error while it opens a model, such as which delegate it made, is dropped."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)
