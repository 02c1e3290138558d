"""Layout `voc`: Pascal VOC segmentation (Everingham et al., IJCV 2010).

    JPEGImages/ID.jpg   SegmentationClass/ID.png   ImageSets/Segmentation/train.txt, val.txt, trainval.txt
                        SegmentationObject/ID.png

The palette index in a mask is the class id, in SegmentationObject the number of the object; 255, the border between
objects, is ignored. A list has one ID per line.
"""

from pathlib import PurePosixPath

from quantseg.data.folder import Listing, files_below, pair_by_stem
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.data.layouts.images import rows_of
from quantseg.data.layouts.instance_ids import rows_with_ids
from quantseg.data.layouts.layout import Layout, not_of
from quantseg.data.place import Place
from quantseg.data.samples import Sample, Samples
from quantseg.data.untrusted import inside, read_text
from quantseg.errors import DataError
from quantseg.files import limits

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
BORDER = 255
_TREE = "JPEGImages/, SegmentationClass/ and ImageSets/Segmentation/SPLIT.txt"
_LISTS = PurePosixPath("ImageSets", "Segmentation")


def find_voc(place: Place, split: str | None, masks: bool) -> Samples:
    """The images that a split lists. Raises DataError where a listed one is missing."""
    if split is None or not (place / "JPEGImages").is_dir():
        not_of("voc", place, _TREE)
    source = place / _LISTS / f"{split}.txt"
    files = _by_stem(place / "JPEGImages")
    wanted = sorted(_lines(source))
    for name in wanted:
        inside(name, listed_in=source)
    if not wanted:
        raise DataError(f"{source}: lists no image; give another split")
    missing = next((name for name in wanted if name not in files), None)
    if missing is not None:
        raise DataError(f"{source}: lists {missing!r}, and JPEGImages/{missing}.jpg is not there; restore it")
    listing = Listing(place / "JPEGImages", tuple(sorted(files[name] for name in wanted)))
    labels = place / "SegmentationClass"
    paired = pair_by_stem(listing, labels) if masks and labels.is_dir() else listing
    objects, plain = place / "SegmentationObject", rows_of(paired)
    has_objects = paired.masks is not None and objects.path.is_dir()
    rows: tuple[Sample, ...] = rows_with_ids(plain, objects, void=BORDER) if has_objects else plain
    return Samples(rows, CLASSES, void=BORDER, ignore_index=BORDER, instance_classes=CLASSES[1:])


def _lines(source: Place) -> set[str]:
    return {line.strip() for line in read_text(source, most=limits.LIST_BYTES).splitlines()} - {""}


def _by_stem(folder: Place) -> dict[str, str]:
    files: dict[str, str] = {}
    for name in files_below(folder, IMAGE_SUFFIXES):
        stem = PurePosixPath(name).with_suffix("").as_posix()
        if stem in files:
            raise DataError(f"{folder}: holds both {files[stem]} and {name}; keep one")
        files[stem] = name
    return files


def _splits(place: Place) -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in (place / _LISTS).path.glob("*.txt") if not path.name.startswith(".")))


VOC = Layout(
    tree=_TREE,
    find=find_voc,
    recognises=lambda place: (place / "JPEGImages").is_dir() and (place / _LISTS).is_dir(),
    splits=_splits,
)
