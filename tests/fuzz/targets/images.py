"""Images and masks, as calibration, evaluation and training read them."""

from pathlib import Path
from random import Random

from quantseg.data import open_dataset, open_samples
from quantseg.data.recipe import Recipe, complete, override
from quantseg.graph import TensorSpec
from tests.fuzz.mutation import archives, pixels
from tests.fuzz.target import Target
from tests.support.data_trees import encoded, ids
from tests.support.data_trees import pixels as noise

_SIZE = (6, 8)
_DETECTIONS = [
    TensorSpec("boxes", "float32", (None, 4)), TensorSpec("labels", "int64", (None,)),
    TensorSpec("scores", "float32", (None,)), TensorSpec("masks", "float32", (None, 1, 28, 28)),
]  # fmt: skip
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".PNG")
_PLACES = (
    ("images/a.png", "masks/a"), ("images/a.png", "masks/a"), ("val/a.png", "valannot/a"), ("a.png", "a_mask"),
    ("leftImg8bit/val/b/a_leftImg8bit.png", "gtFine/val/b/a_gtFine_labelIds"),
    ("JPEGImages/a.png", "SegmentationClass/a"), ("JPEGImages/a.png", "SegmentationObject/a"),
    ("images/a.png", "instances/a"), ("images/a.png", "instances/a"),
)  # fmt: skip
"""Where layouts have an image and its mask, which has no suffix here."""
_CLASSES = {"instances/a": "masks/a.png", "SegmentationObject/a": "SegmentationClass/a.png"}
"""A map of ids → the mask of the classes that may lie beside it."""
_MASKS = (".png", ".png", ".bmp", ".tif", ".npy", ".npy")


def recipe_for(random: Random) -> tuple[Recipe, TensorSpec]:
    """A completed recipe, with a head by chance, and the model's input."""
    inputs = TensorSpec("x", "float32", (1, 3, *_SIZE))
    head = random.choice((None, None, "multilabel", "mask-rcnn"))
    classes = ["cat", "dog"] if head == "mask-rcnn" else None
    recipe = override(Recipe(), head=head, classes=classes, ignore_index=random.choice((None, 255, 255, 255)))
    outputs = _DETECTIONS if head == "mask-rcnn" else [TensorSpec("y", "float32", (1, 3, *_SIZE))]
    return complete(recipe, [inputs], outputs, model="m.onnx"), inputs


def make_image(random: Random, folder: Path) -> None:
    """An image of any format and mode, mostly one that belongs to its suffix, valid or changed."""
    formats = pixels.USUAL if random.random() < 0.75 else tuple(pixels.FORMATS)
    size = random.choice((_SIZE, _SIZE, (1, 1), (17, 3), (64, 64)))
    content = pixels.image(random, size, formats=formats)
    content = pixels.mutated(random, content) if random.random() < 0.85 else content
    (folder / "data").mkdir()
    (folder / "data" / f"a{random.choice(_SUFFIXES)}").write_bytes(content)


def run_image(random: Random, folder: Path) -> None:
    """The image as a model's input."""
    recipe, inputs = recipe_for(random)
    data = open_dataset(folder / "data", recipe, inputs=inputs)
    for index in range(len(data.names)):
        data.digest(index)
        data.load(index)


def make_mask(random: Random, folder: Path) -> None:
    """An image beside a mask that is changed, where a layout by chance looks for it."""
    image, mask = random.choice(_PLACES)
    allowed = [0, 255] if mask == "a_mask" else [7, 8, 11] if image.startswith("left") else [0, 1, 2, 255]
    values, suffix = ids(random.randrange(99), allowed), ".png" if image.startswith("left") else random.choice(_MASKS)
    if suffix == ".npy":
        content = archives.npy(random, values if random.random() < 0.7 else (values[None] == [[[0]], [[1]], [[2]]]))
    elif random.random() < 0.7:
        content = pixels.mutated(random, encoded(values)) if random.random() < 0.8 else encoded(values)
    else:
        content = pixels.image(random, _SIZE if random.random() < 0.8 else (5, 8), formats=("PNG", "BMP", "TIFF"))
        content = pixels.mutated(random, content) if random.random() < 0.5 else content
    if image.startswith("JPEG"):
        (folder / "data/ImageSets/Segmentation").mkdir(parents=True)
        (folder / "data/ImageSets/Segmentation/val.txt").write_text("a\n")
    files = [(image, encoded(noise(1))), (mask + suffix, content)]
    if (classes := _CLASSES.get(mask)) is not None and random.random() < 0.5:
        files.append((classes, encoded(ids(random.randrange(99), [0, 1, 2, 255]))))
    for name, written in files:
        (folder / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / name).write_bytes(written)


def run_mask(random: Random, folder: Path) -> None:
    """The mask at its own size, as training reads it, or beside a model's input."""
    if random.random() < 0.5:
        samples = open_samples(folder / "data")
        samples.fingerprint()
        for index in range(len(samples)):
            samples.read(index)
        return
    recipe, inputs = recipe_for(random)
    data = open_dataset(folder / "data", recipe, inputs=inputs)
    for index in range(len(data.names)):
        data.load(index)


IMAGE = Target("an image (png, jpg, bmp, tiff, webp)", make_image, run_image)
MASK = Target("a mask (png, bmp, tiff, npy)", make_mask, run_mask)
