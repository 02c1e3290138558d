"""Checks a model's inputs before the runtime sees them, so that error messages name the input."""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from quantseg.errors import ModelError
from quantseg.graph import TensorSpec


def check_feeds(model: str, specs: Sequence[TensorSpec], feeds: Mapping[str, NDArray[Any]]) -> None:
    """Raises ModelError unless `feeds` match the inputs `specs` in names, element types and static dimensions."""
    wanted = {spec.name: spec for spec in specs}
    if feeds.keys() != wanted.keys():
        raise ModelError(f"{model}: inputs {sorted(feeds)} were given; feed exactly {sorted(wanted)}")
    for name, array in feeds.items():
        spec = wanted[name]
        fits = len(spec.shape) == array.ndim and all(
            want in (None, have) for want, have in zip(spec.shape, array.shape, strict=True)
        )
        if array.dtype.name != spec.dtype or not fits:
            raise ModelError(
                f"{model}: input {name!r} was given as {_described(array.dtype.name, array.shape)}; "
                f"feed {_described(spec.dtype, spec.shape)}"
            )


def _described(dtype: str, shape: Sequence[int | None]) -> str:
    return f"{dtype} ({', '.join('?' if size is None else str(size) for size in shape)})"
