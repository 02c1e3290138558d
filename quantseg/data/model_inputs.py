"""The inputs of a model: the one that takes the image, the others, and constants for others that the data lack.

The other inputs of an item come from its data (an .npz file or a dict that holds them by name), else from constants.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data.dataset import Dataset, Item
from quantseg.data.npy import read_npy
from quantseg.data.values import listing
from quantseg.errors import DataError
from quantseg.files import limits
from quantseg.graph import TensorSpec

Array = NDArray[Any]
_TABLE = "\n[inputs]\n"


@dataclass(frozen=True)
class ModelInputs:
    """image: the input that takes the image. others: all other inputs.

    constants: name → value of some of the others, of the input's type; a number fills the input's shape.
    """

    image: TensorSpec
    others: tuple[TensorSpec, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict, compare=False)

    @staticmethod
    def of(given: "ModelInputs | TensorSpec") -> "ModelInputs":
        """A lone input is one that takes the image."""
        return ModelInputs(given) if isinstance(given, TensorSpec) else given

    @staticmethod
    def among(
        specs: Sequence[TensorSpec], image: TensorSpec, given: Mapping[str, object], *, model: str
    ) -> "ModelInputs":
        """The inputs `specs` of a model, of which `image` takes the image. model: its file; begins messages.

        given: constants, see `constant`. Raises DataError for one that fits no other input.
        """
        others = {spec.name: spec for spec in specs if spec.name != image.name}
        for name in given:
            if name == image.name:
                raise DataError(f"{model}: inputs=… names {name!r}, which takes the images; leave it out")
            if name not in others:
                known = listing(tuple(others.values()))
                raise DataError(f"{model}: inputs=… names {name!r}, which is no input; beside the image it has {known}")
        return ModelInputs(
            image, tuple(others.values()), {name: constant(value, others[name]) for name, value in given.items()}
        )

    def filled(self, item: Item) -> Item:
        """The item with every other input, from its own data or from the constants.

        Raises DataError for an input that neither gives, that both give, or of another type or shape than declared.
        """
        return replace(item, others={spec.name: self._other(spec, item) for spec in self.others})

    def _other(self, spec: TensorSpec, item: Item) -> Array:
        own, fixed = item.others.get(spec.name), self.constants.get(spec.name)
        if own is None and fixed is None:
            raise DataError(
                f"{item.name}: input {spec} is not given; save it in .npz files under that name, "
                f"or give inputs={spec.name}=NUMBER or inputs={spec.name}=FILE.npy"
            )
        if own is not None:
            check_fits(item.name, spec, own.shape, own.dtype)
        if fixed is None:
            assert own is not None
            return own
        value = full(fixed, spec, item.tensor.shape)
        if own is not None and (own.shape != value.shape or own.tobytes() != value.tobytes()):
            raise DataError(f"{item.name}: holds input {spec.name!r}, which inputs=… gives too; leave one out")
        return value

    def shapes(self, image: Sequence[int]) -> dict[str, tuple[int, ...]]:
        """Name → shape of every input. image: the shape of the image's input; open sizes follow it, else are 1."""
        found = {self.image.name: tuple(image)}
        for spec in self.others:
            fixed = self.constants.get(spec.name)
            own = _shape(spec, image) if fixed is None or not fixed.ndim else fixed.shape
            found[spec.name] = tuple(1 if size is None else size for size in own)
        return found

    def fixed(self, image: Sequence[int]) -> dict[str, Array]:
        """Name → the constant in full, where there is one. image: the shape of the image's input. Raises DataError."""
        specs = {spec.name: spec for spec in self.others}
        return {name: full(value, specs[name], image) for name, value in self.constants.items()}


@dataclass(frozen=True)
class AllInputs:
    """A dataset whose items hold every input of a model."""

    dataset: Dataset
    inputs: ModelInputs

    @property
    def names(self) -> tuple[str, ...]:
        """See Dataset.names."""
        return self.dataset.names

    def digest(self, index: int) -> str:
        """See Dataset.digest; constants are not part of it."""
        return self.dataset.digest(index)

    def load(self, index: int) -> Item:
        """See Dataset.load. Raises DataError also as `ModelInputs.filled` does."""
        return self.inputs.filled(self.dataset.load(index))


def with_all_inputs(dataset: Dataset, inputs: ModelInputs) -> Dataset:
    """The dataset with every input of the model; itself for a model of one input."""
    return AllInputs(dataset, inputs) if inputs.others else dataset


def constant(value: object, spec: TensorSpec) -> Array:
    """The constant of an input, of its type: a number, numbers, an array, or the path of an .npy file.

    An array must have the declared shape and type; plain numbers are converted. Raises DataError.
    """
    if isinstance(value, (str, Path)):
        return _of_file(Path(value), spec)
    plain: Any = value.detach().cpu().numpy() if hasattr(value, "detach") else value
    place = f"inputs={spec.name}=…"
    try:
        found = np.asarray(plain)
    except ValueError:  # lists of different lengths
        found = np.array(None)
    if found.dtype.kind not in "biuf":
        raise DataError(f"{place}: {type(value).__name__} is no number and no array; give either")
    if found.ndim and hasattr(value, "dtype"):
        check_fits(place, spec, found.shape, found.dtype)
        return found
    return _converted(found, spec, place)


def described(value: Array) -> str:
    """A constant as text: type and number, or type, shape and SHA-256."""
    array = f"{'x'.join(map(str, value.shape))} sha256 {hashlib.sha256(value.tobytes()).hexdigest()}"
    return f"{value.dtype} {array if value.ndim else value.item()!r}"


def identity(constants: Mapping[str, Array]) -> str:
    """Text that is equal for equal constants and for no others; empty without any."""
    lines = []
    for name, value in sorted(constants.items()):
        lines.append(f"{json.dumps(name)} = {json.dumps(described(value))}\n")
    return "".join([_TABLE, *lines]) if lines else ""


def without_constants(identity: str) -> str:
    """The text before that of the constants: the recipe."""
    return identity.partition(_TABLE)[0]


def full(value: Array, spec: TensorSpec, image: Sequence[int]) -> Array:
    """A constant in the input's shape: itself, or the number everywhere. image: shape of the image's input.

    An open batch, height or width is that of the image. Raises DataError where another size is open.
    """
    if value.ndim or not spec.shape:
        return value
    shape = _shape(spec, image)
    sizes = [size for size in shape if size is not None]
    if len(sizes) < len(shape):
        raise DataError(f"input {spec} has open sizes, which a number cannot fill; give inputs={spec.name}=FILE.npy")
    if prod(sizes) > limits.ARRAY_ITEMS:
        raise DataError(
            f"input {spec}: {prod(sizes):,} numbers, more than {limits.ARRAY_ITEMS:,}; declare a smaller shape"
        )
    return np.full(sizes, value)


def check_fits(place: object, spec: TensorSpec, shape: Sequence[int], dtype: np.dtype[Any]) -> None:
    """Raises DataError, which begins with `place`, unless an array fits an input as declared."""
    if dtype.name != spec.dtype:
        raise DataError(
            f"{place}: {dtype} values, input {spec} takes {spec.dtype}; save it with .astype({spec.dtype!r})"
        )
    fits = len(shape) == len(spec.shape) and all(
        declared in (None, size) for declared, size in zip(spec.shape, shape, strict=True)
    )
    if not fits or 0 in shape:
        found = "x".join(map(str, shape)) or "scalar"
        raise DataError(f"{place}: shape {found} does not fit input {spec}; save it in that shape")


def _of_file(path: Path, spec: TensorSpec) -> Array:
    def check(shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        if shape:
            check_fits(path, spec, shape, dtype)

    if not path.is_file():
        raise DataError(f"{path}: no such file for input {spec.name!r}; give a number or an .npy file")
    found = read_npy(path, max_items=limits.ARRAY_ITEMS, check=check)
    return found if found.ndim else _converted(found, spec, str(path))


def _shape(spec: TensorSpec, image: Sequence[int]) -> tuple[int | None, ...]:
    """The declared shape; open sizes are the image's: the batch, and all sizes of an input with as many axes."""
    alike = len(spec.shape) == len(image)
    return tuple(
        image[axis] if size is None and image and (axis == 0 or alike) else size for axis, size in enumerate(spec.shape)
    )


def _converted(found: Array, spec: TensorSpec, place: str) -> Array:
    """Plain numbers in the type of the input. Raises DataError where they change."""
    try:
        kind = np.dtype(spec.dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind.kind not in "biuf":
        raise DataError(f"{place}: input {spec} takes no numbers; export the model without it")
    with np.errstate(all="ignore"):
        made = found.astype(kind)
    if kind.kind != "f" and not np.array_equal(made.astype(np.float64), found.astype(np.float64)):
        raise DataError(f"{place}: {found.tolist()} does not fit input {spec}; give {kind.name} numbers")
    if made.ndim:
        check_fits(place, spec, made.shape, made.dtype)
    return made
