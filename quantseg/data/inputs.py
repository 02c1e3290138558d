"""Samples as inputs of a model: images resized and normalised as its recipe says, masks resized with them."""

from dataclasses import dataclass

from quantseg.data.dataset import Dataset, Item
from quantseg.data.masks import fit_mask
from quantseg.data.model_inputs import ModelInputs, with_all_inputs
from quantseg.data.preprocess import resize, shown, to_tensor
from quantseg.data.recipe import Recipe
from quantseg.data.samples import Samples, renamed
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
        """The image as a model input, and its mask resized to the same size. Raises DataError naming the file."""
        row, size, output = self.samples.rows[index], self.recipe.input.size, self.recipe.output
        assert size is not None
        image = row.image()
        resized = resize(image, size, self.recipe.input.resize)
        labels = None
        if row.mask_place is not None:
            extent = (image.height, image.width)
            ids = renamed(row.mask(), self.samples.void, output.ignore_index)
            labels = fit_mask(ids, row.mask_place, output, extent=extent, whose=row.name, size=size)
        return Item(row.name, to_tensor(resized, self.recipe.input, self.dtype), shown(resized), labels)


def open_inputs(samples: Samples, recipe: Recipe, inputs: ModelInputs, *, place: object) -> Dataset:
    """Samples as a dataset for the model's inputs. place: where they are from; error messages begin with it.

    Raises DataError where the model's number of channels is not that of images, and where masks have ignored pixels but
    the recipe has no ignore_index.
    """
    if recipe.input.channels is None:
        raise DataError(f"{place}: images have 1 or 3 channels, input {inputs.image} has others; give .npy arrays")
    void, output = samples.void, recipe.output
    masked = any(row.mask_place is not None for row in samples.rows)
    if masked and void is not None and output.ignore_index is None and not void < len(output.classes):
        raise DataError(f"{place}: its masks ignore pixels of id {void}, the recipe none; give ignore_index={void}")
    return with_all_inputs(ImageInputs(samples, recipe, inputs.image.dtype), inputs)
