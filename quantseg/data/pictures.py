"""Data as pictures, with masks beside them or without."""

from dataclasses import dataclass
from pathlib import Path

from quantseg.data.dataset import Item
from quantseg.data.folder import FolderDataset, Listing
from quantseg.data.images import read_image
from quantseg.data.masks import read_mask
from quantseg.data.preprocess import resize, shown, to_tensor
from quantseg.errors import DataError
from quantseg.recipe import Recipe, TensorSpec


@dataclass(frozen=True)
class PictureReader:
    """Reads pictures, resized and normalised as the recipe says."""

    recipe: Recipe
    dtype: str

    def __call__(self, name: str, path: Path, mask: Path | None) -> Item:
        """A picture, and its mask resized to the same size. Raises DataError naming the file."""
        size = self.recipe.input.size
        assert size is not None
        picture = read_image(path)
        resized = resize(picture, size, self.recipe.input.resize)
        labels = None
        if mask is not None:
            extent = (picture.height, picture.width)
            labels = read_mask(mask, self.recipe.output, extent=extent, whose=path.name, size=size)
        return Item(name, to_tensor(resized, self.recipe.input, self.dtype), shown(resized), labels)


def open_pictures(listing: Listing, recipe: Recipe, inputs: TensorSpec) -> FolderDataset:
    """A folder of pictures for the model's input. Raises DataError where no picture has its channels."""
    if recipe.input.channels is None:
        raise DataError(f"{listing.root}: pictures have 1 or 3 channels, input {inputs} has others; give .npy arrays")
    return FolderDataset(listing, PictureReader(recipe, inputs.dtype))
