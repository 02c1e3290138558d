"""Layout `images`: any folder of images; images/ beside masks/ at any depth where there are masks.

    images/a/b.jpg   masks/a/b.png        or        train/images/b.jpg   train/masks/b.png

The subfolders that contain images/ are the splits; without a chosen split all of them are read.
"""

from quantseg.data.folder import Listing, files_below, list_folder, pair_masks
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.layout import Layout, subfolders
from quantseg.data.place import Place
from quantseg.data.samples import Decode, FileSample, Samples
from quantseg.errors import DataError


def find_images(place: Place, split: str | None, masks: bool) -> Samples:
    """The images below a folder, with masks where it has some; the number of classes is unknown."""
    root = list_folder(place if split is None else place / split).root
    listing = Listing(root, files_below(root, IMAGE_SUFFIXES))
    if not listing.names:
        raise DataError(f"{root}: no images in it; put in files of {' '.join(sorted(IMAGE_SUFFIXES))}")
    return Samples(rows_of(pair_masks(listing) if masks else listing))


def rows_of(listing: Listing, decode: Decode | None = None) -> tuple[FileSample, ...]:
    """A sample for each file of a listing. decode: see Decode."""
    masks = listing.masks or (None,) * len(listing.names)
    rows = enumerate(zip(listing.names, masks, strict=True))
    return tuple(FileSample(name, listing.path(index), mask, decode) for index, (name, mask) in rows)


def _recognises(place: Place) -> bool:
    if (place / "images").is_dir():
        return (place / "masks").is_dir()
    return place.name == "images" and place.beside("masks").is_dir()


def _splits(place: Place) -> tuple[str, ...]:
    if (place / "images").is_dir():
        return ()
    return tuple(name for name in subfolders(place) if (place / name / "images").is_dir())


IMAGES = Layout(
    tree="images, or images/ beside masks/ with a mask of the same name for each",
    find=find_images,
    recognises=_recognises,
    splits=_splits,
    splits_join=True,
)
