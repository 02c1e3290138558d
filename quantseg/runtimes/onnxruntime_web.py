"""onnxruntime-web, the runtime of browsers: its WebAssembly (SIMD) run by node; its errors become one-line ModelErrors.

The model runs in a node process, and is timed there, so that no transfer between processes counts.
"""

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from quantseg import graph
from quantseg.errors import ModelError
from quantseg.files import limits, read_bytes
from quantseg.graph import TensorSpec
from quantseg.runtimes import npm
from quantseg.runtimes.execution import ExecutedNode
from quantseg.runtimes.feeds import check_feeds
from quantseg.runtimes.node import Message, NodeError, process_for
from quantseg.runtimes.onnxruntime_cpu import optimised_facts
from quantseg.runtimes.onnxruntime_graph import with_names
from quantseg.runtimes.onnxruntime_profile import read_printed

OPEN_SECONDS = 300.0
"""Most seconds that opening a model may take."""
WARM_UP, WARM_SECONDS = 3, 0.05
"""Before runs are timed there are so many, for at least so long: V8 compiles what it has not run before."""

_MOST_BYTES = 1 << 31
"""Bytes of a model file: that of a message, and half of what WebAssembly can address."""
_PREFIX = re.compile(r"^.*?ERROR_MESSAGE: |\S+:\d+ [\w:~<> ]+\([^)]*\)( const)? ", re.DOTALL)
"""What onnxruntime-web says before the reason: "failed to call OrtRun(). ERROR_CODE: 1, …", places in its sources."""


@final
@dataclass(frozen=True)
class OnnxRuntimeWeb:
    """onnxruntime-web in node, with WebAssembly's SIMD, and as many threads as asked.

    timeout: most seconds of one run; None: any. A run that takes longer is ended, with the node process that it is in.
    """

    name: str = "onnxruntime-web"
    timeout: float | None = limits.RUN_SECONDS
    activation_types: frozenset[str] = frozenset({"uint8", "int8"})

    @property
    def version(self) -> str:
        """The version of the npm package. Raises MissingExtraError where it, or node, is not installed."""
        npm.onnxruntime_web()
        npm.node()
        return npm.ONNXRUNTIME_WEB

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> "WebSession":
        """Loads a model; see `Runtime.open`. Raises MissingExtraError too. `spinning` has no effect."""
        return WebSession(_content(model), _name(model), threads, timeout=self.timeout)

    def executed(
        self, model: Path | bytes, feeds: Mapping[str, NDArray[Any]], *, threads: int, runs: int
    ) -> tuple[ExecutedNode, ...]:
        """The executed nodes of the optimised graph, from the profile that onnxruntime-web prints of `runs` runs.

        Attributes and shapes of weights are those of the graph as onnxruntime optimises it here: its own cannot be had.
        """
        content = _content(model)
        named = with_names(content) or content
        session = WebSession(named, _name(model), threads, timeout=self.timeout, profiling=True)
        with closing(session):
            printed = session.profile(feeds, runs)
        return read_printed(printed, optimised_facts(named), last=runs)

    def process(self, threads: int) -> int:
        """The id of the process in which models run; its WebAssembly is loaded."""
        self.open(_smallest(), threads=threads).close()
        return process_for(threads).pid


@final
class WebSession:
    """A model open in onnxruntime-web. Feeds are checked beforehand, so that error messages name the input."""

    def __init__(
        self, model: bytes, name: str, threads: int, *, timeout: float | None, profiling: bool = False
    ) -> None:
        self._name, self._timeout, self._session = name, timeout, None
        with self._one_line("cannot open it", "check it with onnx.checker"):
            self._process = process_for(threads)
            answer, _ = self._process.ask("open", {"profiling": profiling}, [model], OPEN_SECONDS)
        self._session = answer["session"]
        self.inputs = tuple(map(_spec, answer["inputs"]))
        self.outputs = tuple(map(_spec, answer["outputs"]))

    def run(self, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str] | None = None) -> list[NDArray[Any]]:
        """The named outputs (all by default), see `Session.run`. Raises ModelError also where it took too long."""
        names = [spec.name for spec in self.outputs] if outputs is None else list(outputs)
        answer, parts = self._asked("run", feeds, {"outputs": names}, runs=1)
        return [
            np.ndarray(one["shape"], one["type"], bytearray(part))
            for one, part in zip(answer["outputs"], parts, strict=True)
        ]

    def times(self, feeds: Mapping[str, NDArray[Any]], *, warm_up: int, runs: int) -> list[float]:
        """Seconds of each of `runs` runs, measured in the node process, after `warm_up` or more."""
        how = {"warmUp": warm_up, "warmSeconds": WARM_SECONDS, "runs": runs}
        answer, _ = self._asked("times", feeds, how, runs=warm_up + runs)
        return list(map(float, answer["seconds"]))

    def profile(self, feeds: Mapping[str, NDArray[Any]], runs: int) -> str:
        """The profile that onnxruntime-web prints of a session that was opened for it, once; of warm-up runs too."""
        how = {"warmUp": WARM_UP, "warmSeconds": WARM_SECONDS, "runs": runs}
        _, (printed,) = self._asked("profile", feeds, how, runs=WARM_UP + runs)
        return printed.decode(errors="replace")

    def close(self) -> None:
        """Frees the session in the node process."""
        if self._session is not None and self._process.is_alive:
            with self._one_line("cannot close it", "free memory"):
                self._process.ask("close", {"session": self._session}, [], OPEN_SECONDS)
        self._session = None

    def _asked(self, what: str, feeds: Mapping[str, NDArray[Any]], header: Mapping[str, Any], *, runs: int) -> Message:
        assert self._session is not None, "the session is closed"
        check_feeds(self._name, self.inputs, feeds)
        described = [{"name": name, "type": x.dtype.name, "shape": x.shape} for name, x in feeds.items()]
        attached = [np.ascontiguousarray(x).tobytes() for x in feeds.values()]
        most = None if self._timeout is None else self._timeout * runs
        with self._one_line("failed while running it", "try another input size"):
            return self._process.ask(what, {**header, "session": self._session, "feeds": described}, attached, most)

    @contextmanager
    def _one_line(self, fact: str, remedy: str) -> Iterator[None]:
        """Turns what onnxruntime-web says into a one-line ModelError."""
        try:
            yield
        except NodeError as error:
            if error.late and self._timeout is not None:
                fact, remedy = (
                    f"took more than {self._timeout:g} s for one image",
                    "give more with timeout=…, or mend it",
                )
                raise ModelError(f"{self._name}: {fact}; {remedy}") from error
            reason = textwrap.shorten(_PREFIX.sub("", str(error)), 300, placeholder=" …")
            raise ModelError(f"{self._name}: onnxruntime-web {fact} ({reason}); {remedy}") from error


def _name(model: Path | bytes) -> str:
    return "model" if isinstance(model, bytes) else str(model)


def _content(model: Path | bytes) -> bytes:
    """The model as one message, its external data in it; what is not ONNX as it is, for the runtime to refuse.

    Raises ModelError where it cannot be read.
    """
    if isinstance(model, bytes):
        return model
    try:
        content = read_bytes(model, most=_MOST_BYTES)
        weights = onnx.load_from_string(content).graph.initializer
    except OSError as error:
        raise ModelError(f"{model}: cannot be read ({error.strerror or error}); give another model") from error
    except DecodeError:
        return content
    if not any(weight.data_location == onnx.TensorProto.EXTERNAL for weight in weights):
        return content
    return graph.to_bytes(graph.load(model))


def _smallest() -> bytes:
    """A model that does nothing."""
    x, y = (onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in "xy")
    nothing = onnx.helper.make_graph([onnx.helper.make_node("Identity", ["x"], ["y"])], "smallest", [x], [y])
    opset = [onnx.helper.make_opsetid("", 13)]
    content: bytes = onnx.helper.make_model(nothing, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def _spec(described: Mapping[str, Any]) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in described["shape"])
    return TensorSpec(described["name"], described["type"] or "", shape)
