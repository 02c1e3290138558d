"""Layout `images`: any folder of images; images/ beside masks/ at any depth where there are masks.

    images/a/b.jpg   masks/a/b.png        or        train/images/b.jpg   train/masks/b.png

Beside them, or in place of masks/, instances/ may hold maps of ids, one id an instance and 0 for none; masks/ then tell
the classes.

The subfolders that contain images/ are the splits; without a chosen split all of them are read.
"""

from dataclasses import replace
from pathlib import Path, PurePosixPath

from quantseg.data.folder import Listing, files_below, list_folder, mask_folder, pair_masks
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.instance_ids import BACKGROUND, FOLDER, OBJECT, IdSample
from quantseg.data.layouts.layout import Layout, subfolders
from quantseg.data.place import Place
from quantseg.data.samples import Decode, FileSample, Sample, Samples
from quantseg.errors import DataError


def find_images(place: Place, split: str | None, masks: bool) -> Samples:
    """The images below a folder, with masks where it has some; the number of classes is unknown."""
    root = list_folder(place if split is None else place / split).root
    listing = Listing(root, files_below(root, IMAGE_SUFFIXES))
    if not listing.names:
        raise DataError(f"{root}: no images in it; put in files of {' '.join(sorted(IMAGE_SUFFIXES))}")
    paired = pair_masks(listing) if masks else listing
    if not masks or paired.masks is not None:
        return Samples(_with_ids(rows_of(paired), root))
    numbered = pair_masks(listing, FOLDER)
    if numbered.masks is None:
        return Samples(rows_of(listing))
    ids = (replace(root, path=path) for path in numbered.masks)
    rows = (IdSample(row, path, found=True) for row, path in zip(rows_of(listing), ids, strict=True))
    return Samples(tuple(rows), (BACKGROUND, OBJECT), instance_classes=(OBJECT,))


def _with_ids(rows: tuple[FileSample, ...], root: Place) -> tuple[Sample, ...]:
    """The samples, those with a mask and a folder of ids beside it with these."""
    parents = {row.name: PurePosixPath(row.name).parent for row in rows if row.mask_path is not None}
    folders = {parent: mask_folder(root, parent, FOLDER) for parent in dict.fromkeys(parents.values())}
    found = list[Sample]()
    for row in rows:
        pair = folders[parents[row.name]] if row.name in parents else None
        found.append(row if pair is None else IdSample(row, pair[1] / _stem(row.path, pair[0]), found=False))
    return tuple(found)


def _stem(path: Path, images: Path) -> PurePosixPath:
    return PurePosixPath(path.absolute().relative_to(images).with_suffix("").as_posix())


def rows_of(listing: Listing, decode: Decode | None = None) -> tuple[FileSample, ...]:
    """A sample for each file of a listing. decode: see Decode."""
    masks = listing.masks or (None,) * len(listing.names)
    rows = enumerate(zip(listing.names, masks, strict=True))
    return tuple(FileSample(name, listing.path(index), mask, decode) for index, (name, mask) in rows)


def _recognises(place: Place) -> bool:
    if (place / "images").is_dir():
        return (place / "masks").is_dir() or (place / FOLDER).is_dir()
    return place.name == "images" and (place.beside("masks").is_dir() or place.beside(FOLDER).is_dir())


def _splits(place: Place) -> tuple[str, ...]:
    if (place / "images").is_dir():
        return ()
    return tuple(name for name in subfolders(place) if (place / name / "images").is_dir())


IMAGES = Layout(
    tree="images, or images/ beside masks/ (or instances/) with a mask of the same name for each",
    find=find_images,
    recognises=_recognises,
    splits=_splits,
    splits_join=True,
)
