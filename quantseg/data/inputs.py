"""Samples as inputs of a model: images resized and normalised as its recipe says, labels resized with them."""

from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np

from quantseg.data.dataset import Dataset, Item
from quantseg.data.heads import InstanceHead, head_of
from quantseg.data.instance_labels import numbered
from quantseg.data.masks import fit_mask
from quantseg.data.model_inputs import ModelInputs, with_all_inputs
from quantseg.data.preprocess import resize, shown, to_tensor
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.data.samples import InstanceSample, Sample, Samples, renamed
from quantseg.errors import DataError


@dataclass(frozen=True)
class ImageInputs:
    """Samples as a dataset for a model. recipe: completed. dtype: of the model's input that takes the image."""

    samples: Samples
    recipe: Recipe
    dtype: str

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the samples, sorted."""
        return self.samples.names

    def digest(self, index: int) -> str:
        """SHA-256 of the image, without its mask. Raises DataError."""
        return self.samples.rows[index].image_digest()

    def load(self, index: int) -> Item:
        """The image as a model input, and its labels resized to the same size. Raises DataError naming the file."""
        row, size = self.samples.rows[index], self.recipe.input.size
        assert size is not None
        image = row.image()
        resized = resize(image, size, self.recipe.input.resize)
        labels = self._labels(row, (image.height, image.width), size)
        return Item(row.name, to_tensor(resized, self.recipe.input, self.dtype), shown(resized), **labels)

    def _labels(self, row: Sample, extent: tuple[int, int], size: tuple[int, int]) -> dict[str, Any]:
        """The item's mask, and its instances where the head reads such and the sample has them."""
        output = self.recipe.output
        if row.mask_place is None:
            return {"mask": None}
        if _has_instances(row, output):
            found = numbered(row.instances(extent, size), self.samples.instance_classes, output, row.mask_place)
            return {"mask": found.planes(len(output.classes)).astype(np.int64), "instances": found}
        ids = renamed(row.mask(), self.samples.void, output.ignore_index)
        return {"mask": fit_mask(ids, row.mask_place, output, extent=extent, whose=row.name, size=size)}


def _has_instances(row: Sample, output: OutputRecipe) -> TypeGuard[InstanceSample]:
    """Whether the labels that the head asks for are the sample's instances."""
    return isinstance(head_of(output), InstanceHead) and isinstance(row, InstanceSample)


def open_inputs(samples: Samples, recipe: Recipe, inputs: ModelInputs, *, place: object) -> Dataset:
    """Samples as a dataset for the model's inputs. place: where they are from; error messages begin with it.

    Raises DataError where the model's number of channels is not that of images, and where masks have ignored pixels but
    the recipe has no ignore_index.
    """
    if recipe.input.channels is None:
        raise DataError(f"{place}: images have 1 or 3 channels, input {inputs.image} has others; give .npy arrays")
    void, output = samples.void, recipe.output
    masked = any(row.mask_place is not None and not _has_instances(row, output) for row in samples.rows)
    if masked and void is not None and output.ignore_index is None and not void < len(output.classes):
        raise DataError(f"{place}: its masks ignore pixels of id {void}, the recipe none; give ignore_index={void}")
    return with_all_inputs(ImageInputs(samples, recipe, inputs.image.dtype), inputs)
