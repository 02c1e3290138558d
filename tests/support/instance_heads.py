"""Two small heads of instances, for tests of what is done with instances: quantseg's own read networks.

Boxes reads detections, of which each run may have others: rows of x0, y0, x1, y1, score, class; masks are rectangles.
Strips reads a map (1, classes, H, W), so any segmentation network runs with it: where a class's channel is above zero,
each of four upright strips of the image is an instance, whose score is the sigmoid of the largest value in it.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from quantseg.data import Item
from quantseg.data.heads import HEADS
from quantseg.data.heads.multilabel import Multilabel
from quantseg.data.instances import Instances
from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.graph import TensorSpec

Array = NDArray[Any]
SIZE = (24, 32)
CLASSES = ("cell", "rod")
STRIPS = 4


def rectangles(rows: Array, size: tuple[int, int] = SIZE) -> Array:
    """Masks of boxes x0, y0, x1, y1."""
    y, x = np.mgrid[: size[0], : size[1]]
    corners = np.asarray(rows, np.float64).reshape(-1, np.shape(rows)[-1])[:, :4, None, None]
    return (x >= corners[:, 0]) & (y >= corners[:, 1]) & (x < corners[:, 2]) & (y < corners[:, 3])


def instances_of(rows: Array, size: tuple[int, int] = SIZE) -> Instances:
    """Instances of rows x0, y0, x1, y1, score, class, the highest scores first."""
    rows = np.asarray(rows, np.float32).reshape(-1, 6)
    rows = rows[np.argsort(-rows[:, 4], kind="stable")]
    return Instances.of(rectangles(rows, size), rows[:, 5].astype(np.int64), rows[:, 4])


class _Head(Multilabel):  # type: ignore[misc]
    """What both have in common: masks are unions of the instances above the threshold."""

    def masks(self, outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
        found = self.instances(outputs, recipe, recipe.threshold)
        return np.stack([one.planes(len(recipe.classes)) for one in found])

    def class_count(self, outputs: Sequence[Array], recipe: OutputRecipe) -> int | None:
        return len(recipe.classes)

    @abstractmethod
    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        """Each head's own."""


class Boxes(_Head):
    name = "boxes"

    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        assert recipe.size is not None
        return (instances_of(outputs[0], recipe.size).above(lowest),)


class Strips(_Head):
    name = "strips"

    def complete(self, recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
        return replace(super().complete(recipe, outputs, given), head=self.name)

    def instances(self, outputs: Sequence[Array], recipe: OutputRecipe, lowest: float) -> tuple[Instances, ...]:
        return tuple(_strips(image).above(lowest) for image in outputs[0])


def _strips(image: Array) -> Instances:
    places = np.arange(image.shape[-1]) * STRIPS // image.shape[-1]
    rows = [(c, (image[c] > 0) & (places == k)) for c in range(len(image)) for k in range(STRIPS)]
    rows = [(c, mask) for c, mask in rows if mask.any()]
    scores = np.array([1 / (1 + np.exp(-image[c][mask].max())) for c, mask in rows], np.float32)
    order = np.argsort(-scores, kind="stable")
    masks = np.array([mask for _, mask in rows], np.bool_).reshape(-1, *image.shape[1:])
    return Instances.of(masks, np.array([c for c, _ in rows], np.int64), scores).chosen(order)


@contextmanager
def registered() -> Iterator[None]:
    """The heads stand in HEADS, by their names."""
    assert isinstance(HEADS, dict)
    own = {"boxes": Boxes(), "strips": Strips()}
    HEADS.update(own)
    try:
        yield
    finally:
        for name in own:
            del HEADS[name]


def recipe(**output: Any) -> Recipe:
    """A completed recipe of Boxes."""
    fields = {"name": "y", "layout": "NCHW", "head": "boxes", "classes": CLASSES, "size": SIZE} | output
    return Recipe(InputRecipe(size=SIZE, layout="NCHW", channels="RGB"), OutputRecipe(**fields))


@dataclass(frozen=True)
class Images:
    """Item k carries k in its tensor. labels: rows of each image's instances, or None."""

    labels: tuple[Any, ...]
    crowd: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"{k}.png" for k in range(len(self.labels)))

    def digest(self, index: int) -> str:
        return str(index)

    def load(self, index: int) -> Item:
        tensor = np.full((1, 3, *SIZE), index, np.float32)
        picture = np.full((*SIZE, 3), 40 * index, np.uint8)
        rows = self.labels[index]
        found = None if rows is None else instances_of(rows)
        if found is not None and self.crowd and len(found):
            found = replace(found, crowd=np.arange(len(found)) == len(found) - 1)
        return Item(self.names[index], tensor, picture, None, instances=found)


@dataclass(frozen=True)
class Detector:
    """A session that answers item k with the rows of answer k."""

    answers: tuple[Any, ...]
    inputs = (TensorSpec("x", "float32", (1, 3, *SIZE)),)
    outputs = (TensorSpec("y", "float32", (None, 6)),)

    def run(self, feeds: dict[str, Array], outputs: Sequence[str] | None = None) -> list[Array]:
        return [np.asarray(self.answers[int(feeds["x"].flat[0])], np.float32).reshape(-1, 6)]

    def close(self) -> None:
        pass
