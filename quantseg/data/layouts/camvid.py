"""Layout `camvid`: road scenes with eleven classes (Brostow et al., PRL 2009), as split for SegNet (arXiv:1511.00561).

    train/0001.png   trainannot/0001.png          or         train/images/0001.jpg   train/masks/0001.png

A mask holds class ids, 11 for unlabelled. Folders X and Xannot are how SegNet's authors published it. Folders X/images
and X/masks are read only where the layout is named, since other datasets are arranged so too.
"""

from quantseg.data.folder import Listing, files_below, pair_by_stem
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.images import rows_of
from quantseg.data.layouts.layout import Layout, not_of, subfolders
from quantseg.data.place import Place
from quantseg.data.samples import Samples
from quantseg.errors import DataError

CLASSES = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
UNLABELLED = 11
_TREE = "train/ beside trainannot/, or train/images/ beside train/masks/"


def find_camvid(place: Place, split: str | None, masks: bool) -> Samples:
    """The images of one split; a folder that itself has images/ and masks/ is a split without a name."""
    root = place if split is None else place / split
    if (root / "images").is_dir():
        images, labels = root / "images", root / "masks"
    elif split is not None:
        images, labels = root, place / f"{split}annot"
    else:
        not_of("camvid", place, _TREE)
    listing = Listing(images, files_below(images, IMAGE_SUFFIXES))
    if not listing.names:
        raise DataError(f"{images}: no images in it; put in files of {' '.join(sorted(IMAGE_SUFFIXES))}")
    paired = pair_by_stem(listing, labels) if masks and labels.is_dir() else listing
    return Samples(rows_of(paired), CLASSES, void=UNLABELLED, ignore_index=UNLABELLED)


def _splits(place: Place) -> tuple[str, ...]:
    if (place / "images").is_dir():
        return ()
    beside = (name for name in subfolders(place) if (place / name / "images").is_dir())
    return tuple(sorted({*beside, *_annotated(place)}))


def _annotated(place: Place) -> tuple[str, ...]:
    """Names X of the folders that have a sibling folder Xannot."""
    names = set(subfolders(place))
    return tuple(sorted(name for name in names if f"{name}annot" in names))


CAMVID = Layout(
    tree=_TREE,
    find=find_camvid,
    recognises=lambda place: bool(_annotated(place)),
    splits=_splits,
)
