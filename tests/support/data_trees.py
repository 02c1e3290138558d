"""A tiny tree of every layout, as bytes, with what must be read from it."""

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

HEIGHT, WIDTH = 6, 8

VOC_PALETTE = [value for k in range(256) for value in (k, 255 - k, k // 2)]


@dataclass(frozen=True)
class Tree:
    """files: posix path → bytes. split: the one that is read. images, masks: by name."""

    files: Mapping[str, bytes]
    split: str | None
    classes: tuple[str, ...]
    void: int | None
    images: Mapping[str, np.ndarray]
    masks: Mapping[str, np.ndarray]

    def write(self, folder: Path, *, backwards: bool = False) -> Path:
        """Writes the files, in this order or the other."""
        for name in sorted(self.files, reverse=backwards):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(self.files[name])
        return folder


def encoded(pixels: np.ndarray, suffix: str = ".png", palette: list[int] | None = None) -> bytes:
    """An image's file, lossless but for .jpg."""
    image = Image.fromarray(pixels)
    if palette is not None:
        image.putpalette(palette)
    stream = io.BytesIO()
    image.save(stream, format={".png": "PNG", ".jpg": "JPEG", ".tif": "TIFF"}[suffix])
    return stream.getvalue()


def pixels(seed: int, size: tuple[int, int] = (HEIGHT, WIDTH)) -> np.ndarray:
    """Random RGB."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def ids(seed: int, allowed: list[int]) -> np.ndarray:
    """Random ids of those allowed, each of them somewhere where they fit."""
    rng = np.random.default_rng(seed)
    flat = rng.choice(allowed, HEIGHT * WIDTH)
    flat[: len(allowed)] = allowed[: flat.size]
    return rng.permutation(flat).reshape(HEIGHT, WIDTH).astype(np.uint8)


CAMVID = (
    "Sky", "Building", "Pole", "Road", "Pavement", "Tree", "SignSymbol", "Fence", "Car", "Pedestrian", "Bicyclist",
)  # fmt: skip
VOC = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
CITYSCAPES = (
    "road", "sidewalk", "building", "wall", "fence", "pole", "traffic light", "traffic sign", "vegetation", "terrain",
    "sky", "person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle",
)  # fmt: skip


def images_tree() -> Tree:
    """images/ beside masks/, one in a folder of its own."""
    images = {"a/one.png": pixels(1), "two.png": pixels(2)}
    masks = {name: ids(k, [0, 1, 2]) for k, name in enumerate(images)}
    files = {f"images/{name}": encoded(images[name]) for name in images}
    files |= {f"masks/{name}": encoded(masks[name]) for name in masks}
    return Tree(files, None, (), None, images, masks)


def camvid_tree() -> Tree:
    """The tree of SegNet's authors, with another split beside the one that is read."""
    images = {f"000{k}.png": pixels(k) for k in range(3)}
    masks = {name: ids(k, list(range(12))) for k, name in enumerate(images)}
    files = {f"val/{name}": encoded(images[name]) for name in images}
    files |= {f"valannot/{name}": encoded(masks[name]) for name in masks}
    files |= {"train/0009.png": encoded(pixels(9)), "trainannot/0009.png": encoded(ids(9, [0]))}
    return Tree(
        files | {"val.txt": b"/SegNet/val/0000.png /SegNet/valannot/0000.png"}, "val", CAMVID, 11, images, masks
    )


def voc_tree() -> Tree:
    """Palette masks and lists; an image without a mask that no list has."""
    images = {f"2007_00000{k}.png": pixels(k) for k in range(4)}
    masks = {name: ids(k, [*range(21), 255]) for k, name in enumerate(images)}
    files = {f"JPEGImages/{name}": encoded(images[name]) for name in images}
    files |= {f"SegmentationClass/{name}": encoded(masks[name], palette=VOC_PALETTE) for name in masks}
    files |= {"JPEGImages/2007_000009.png": encoded(pixels(9))}
    files |= {
        "ImageSets/Segmentation/train.txt": b"2007_000003\r\n2007_000000\r\n",
        "ImageSets/Segmentation/val.txt": b"2007_000002\n2007_000001\n\n",
        "ImageSets/Segmentation/trainval.txt": b"".join(b"2007_00000%d\n" % k for k in range(4)),
    }
    chosen = ("2007_000000.png", "2007_000003.png")
    return Tree(files, "train", VOC, 255, {n: images[n] for n in chosen}, {n: masks[n] for n in chosen})


LABEL_IDS = [7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33]
"""Label ids of the classes, in the order of their train ids, as helpers/labels.py of cityscapesScripts lists them."""


def cityscapes_tree() -> Tree:
    """Two cities; every label id that there is."""
    images = {f"{city}/{city}_0_{k}_leftImg8bit.png": pixels(k) for k, city in enumerate(("bonn", "aachen"))}
    labels = {name: ids(k, list(range(34))) for k, name in enumerate(images)}
    files = {f"leftImg8bit/val/{name}": encoded(images[name]) for name in images}
    for name, values in labels.items():
        stem = name.replace("_leftImg8bit", "_gtFine")
        files[f"gtFine/val/{stem.replace('.png', '_labelIds.png')}"] = encoded(values)
        files[f"gtFine/val/{stem.replace('.png', '_color.png')}"] = encoded(pixels(5))
    files["leftImg8bit/train/ulm/ulm_0_0_leftImg8bit.png"] = encoded(pixels(7))
    trained = {name: np.full(values.shape, 255, np.uint8) for name, values in labels.items()}
    for name, values in labels.items():
        for train_id, label_id in enumerate(LABEL_IDS):
            trained[name][values == label_id] = train_id
    return Tree(files, "val", CITYSCAPES, 255, images, trained)


def rectangle(top: int, left: int, bottom: int, right: int) -> list[int]:
    """A polygon over rows top…bottom−1 and columns left…right−1."""
    return [left, top, right, top, right, bottom, left, bottom]


def run_lengths(region: np.ndarray) -> list[int]:
    """Run lengths down the columns, zeros first."""
    flat = region.T.ravel().astype(int)
    edges = np.flatnonzero(np.diff(flat)) + 1
    runs = np.diff([0, *edges, flat.size]).tolist()
    return [0, *runs] if flat[0] else runs


def coco_document() -> dict:
    """Two images: one with a small cat on a large dog on a crowd, one with nothing."""
    crowd = np.zeros((HEIGHT, WIDTH), bool)
    crowd[:, :5] = True
    return {
        "images": [
            {"id": 20, "file_name": "b.png", "height": HEIGHT, "width": WIDTH},
            {"id": 10, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
        ],
        "categories": [{"id": 18, "name": "dog"}, {"id": 3, "name": "cat"}],
        "annotations": [
            {"id": 1, "image_id": 10, "category_id": 3, "iscrowd": 0, "segmentation": [rectangle(1, 1, 3, 3)]},
            {"id": 2, "image_id": 10, "category_id": 18, "iscrowd": 0, "segmentation": [rectangle(0, 0, 4, 4)]},
            {
                "id": 3,
                "image_id": 10,
                "category_id": 18,
                "iscrowd": 1,
                "segmentation": {"size": [HEIGHT, WIDTH], "counts": run_lengths(crowd)},
            },
        ],
    }


def coco_tree() -> Tree:
    """Annotations of instances; classes are counted in the order of the categories' ids."""
    images = {"a.png": pixels(1), "b.png": pixels(2)}
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[:, :5] = 255
    mask[:4, :4] = 2
    mask[1:3, 1:3] = 1
    files = {f"val2017/{name}": encoded(image) for name, image in images.items()}
    files["annotations/instances_val2017.json"] = json.dumps(coco_document()).encode()
    files["annotations/captions_val2017.json"] = b"{}"
    masks = {"a.png": mask, "b.png": np.zeros((HEIGHT, WIDTH), np.uint8)}
    return Tree(files, None, ("background", "cat", "dog"), 255, images, masks)


def binary_tree() -> Tree:
    """Two cases; a mask of 0 and 255, one of nothing, and one of 0 and 1."""
    images = {"case_1/s_1.tif": pixels(1), "case_1/s_2.tif": pixels(2), "case_2/s_1.png": pixels(3)}
    masks = {name: ids(k, [0, 1]) for k, name in enumerate(images)}
    masks["case_1/s_2.tif"] = np.zeros((HEIGHT, WIDTH), np.uint8)
    files = {name: encoded(image, name[-4:]) for name, image in images.items()}
    for name, mask in masks.items():
        scale = 1 if name.startswith("case_2") else 255
        files[f"{name[:-4]}_mask{name[-4:]}"] = encoded((mask * scale).astype(np.uint8), name[-4:])
    return Tree(files | {"data.csv": b"Patient\n"}, None, ("background", "foreground"), None, images, masks)


TREES: Mapping[str, Callable[[], Tree]] = {
    "images": images_tree,
    "camvid": camvid_tree,
    "voc": voc_tree,
    "cityscapes": cityscapes_tree,
    "coco": coco_tree,
    "binary": binary_tree,
}
"""Every layout of files that are images."""
