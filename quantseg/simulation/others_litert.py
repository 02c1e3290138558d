"""LiteRT as what a simulation is compared with: its reference kernels in one run, or XNNPACK's kernels one by one.

XNNPACK keeps the tensors inside its part of a network to itself. So each operator becomes a network of its own, which
gets what the reference kernels gave: the differences are those of one kernel each, and named with it.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.quantization.formats.litert.file import from_bytes, to_bytes
from quantseg.quantization.formats.litert.listing import content_of
from quantseg.quantization.formats.litert.network import LiteRtNetwork, Operator, Tensor
from quantseg.runtimes.litert import LiteRtSession

Array = NDArray[Any]


class InLiteRt:
    """LiteRT's reference kernels, with every tensor."""

    def __init__(self, path: Path, threads: int) -> None:
        """Raises ModelError where LiteRT does not open the file, MissingExtraError where it is not installed."""
        self._session = LiteRtSession(path, threads, reference=True, exposing=True)

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The tensors of the file, in its own order of axes, by name."""
        self._session.run(feeds)
        inputs = {spec.name for spec in self._session.inputs}
        return {name: array for name, array in self._session.tensors().items() if name and name not in inputs}

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Empty: there is no separate run."""
        return {}

    def close(self) -> None:
        """Frees the interpreter."""
        self._session.close()


class InXnnpack:
    """XNNPACK's kernels, each fed with the reference kernels' tensors."""

    def __init__(self, path: Path) -> None:
        """Raises as InLiteRt does."""
        self._reference = InLiteRt(path, 1)
        self._network = from_bytes(content_of(path), str(path))
        self._alone: dict[Operator, LiteRtSession] = {}

    def tensors(self, image: str, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """The integers of every operator, from the reference kernels' inputs; and the reference kernels' reals."""
        known = dict(self._reference.tensors(image, feeds))
        fed = {one.name: one for one in self._network.inputs}
        found = {name: array for name, array in known.items() if array.dtype.kind == "f"}
        for operator in self._network.operators:
            if any(one.dtype != "int8" for one in operator.outputs):
                continue
            read = [one for one in operator.inputs if one is not None and not one.is_constant]
            if any(one.name in fed for one in read) or not read:
                continue  # what reads the image converts it, as the reference kernels do
            session = self._opened(operator, read)
            given = session.run({spec.name: known[spec.name] for spec in session.inputs})
            found |= {one.name: array for one, array in zip(operator.outputs, given, strict=True)}
        return found

    def outputs(self, feeds: Mapping[str, Array]) -> Mapping[str, Array]:
        """Empty: what a whole run gives is the evaluation's subject."""
        return {}

    def close(self) -> None:
        """Frees the interpreters."""
        self._reference.close()
        for session in self._alone.values():
            session.close()

    def _opened(self, operator: Operator, read: list[Tensor]) -> LiteRtSession:
        if operator not in self._alone:
            own = LiteRtNetwork((operator,), tuple(dict.fromkeys(read)), operator.outputs)
            try:
                self._alone[operator] = LiteRtSession(to_bytes(own), 1, reference=False)
            except ModelError as error:
                raise ModelError(f"{operator.kind} {operator.outputs[0].name!r} alone: {error}") from error
        return self._alone[operator]
