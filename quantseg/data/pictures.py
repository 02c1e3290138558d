"""Data as pictures, with masks beside them or without."""

from dataclasses import dataclass

from quantseg.data.dataset import Item
from quantseg.data.folder import Listing
from quantseg.data.images import read_image
from quantseg.data.masks import read_mask
from quantseg.data.preprocess import resize, shown, to_tensor
from quantseg.errors import DataError
from quantseg.recipe import Recipe, TensorSpec


@dataclass(frozen=True)
class Pictures:
    """Pictures, resized and normalised as the recipe says."""

    listing: Listing
    recipe: Recipe
    dtype: str

    @property
    def names(self) -> tuple[str, ...]:
        """Paths under the folder, sorted."""
        return self.listing.names

    @property
    def has_masks(self) -> bool:
        """Whether every picture has a mask."""
        return self.listing.masks is not None

    def digest(self, index: int) -> str:
        """SHA-256 of the picture's file. Raises DataError."""
        return self.listing.digest(index)

    def load(self, index: int) -> Item:
        """Reads a picture, and its mask resized to the same size. Raises DataError naming the file."""
        path = self.listing.path(index)
        size = self.recipe.input.size
        assert size is not None
        picture = read_image(path)
        resized = resize(picture, size, self.recipe.input.resize)
        mask = None
        if self.listing.masks is not None:
            mask = read_mask(
                self.listing.masks[index],
                self.recipe.output,
                extent=(picture.height, picture.width),
                whose=path.name,
                size=size,
            )
        tensor = to_tensor(resized, self.recipe.input, self.dtype)
        return Item(self.names[index], tensor, shown(resized), mask)


def open_pictures(listing: Listing, recipe: Recipe, inputs: TensorSpec) -> Pictures:
    """A folder of pictures for the model's input. Raises DataError where no picture has its channels."""
    if recipe.input.channels is None:
        raise DataError(f"{listing.root}: pictures have 1 or 3 channels, input {inputs} has others; give .npy arrays")
    return Pictures(listing, recipe, inputs.dtype)
