"""The reference models: which network is trained on which images, and how. A new one is a line in ZOO."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from quantseg.data import drawn_cells as cells
from quantseg.data.recipe import InputRecipe
from quantseg.evaluation.reference_models import CELL_INSTANCES

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class DataSet:
    """Images to train on. name: in the metadata of models that saw them. layout: a row of quantseg.data.LAYOUTS.

    input: size and preprocessing of the models. classes: empty for the layout's own. ignore_index: id of pixels that
    count nowhere, None for the layout's own.
    """

    name: str
    layout: str
    input: InputRecipe
    classes: tuple[str, ...] = ()
    ignore_index: int | None = None


def _input(height: int, width: int, mean: tuple[float, ...], std: tuple[float, ...]) -> InputRecipe:
    return InputRecipe(size=(height, width), layout="NCHW", channels="RGB", mean=mean, std=std)


CAMVID = DataSet("camvid", "camvid", _input(192, 256, IMAGENET_MEAN, IMAGENET_STD))
WHITE_CELLS = DataSet(
    "wbc",
    "images",
    _input(128, 128, IMAGENET_MEAN, IMAGENET_STD),
    classes=("background", "cytoplasm", "nucleus"),
)
CELLS = DataSet("cells", "cells", _input(192, 192, (0.85, 0.76, 0.77), (0.11, 0.15, 0.11)), classes=cells.CLASSES)
CELL_OBJECTS = replace(CELLS, name=CELL_INSTANCES, classes=cells.INSTANCE_CLASSES)


@dataclass(frozen=True)
class Settings:
    """How a network is trained; every field is a flag of the command line.

    loss: names of losses joined by +. class_weights: whether cross-entropy counts rare classes more.
    crop: height and width of the images that a step sees, None for the whole. schedule: one-cycle or poly.
    precision: of convolutions, float32 or bfloat16, which newer processors compute several times faster.
    """

    epochs: int
    batch: int = 8
    loss: str = "cross-entropy+jaccard"
    class_weights: bool = True
    learning_rate: float = 4e-3
    weight_decay: float = 1e-2
    schedule: str = "one-cycle"
    crop: tuple[int, int] | None = None
    augment: bool = True
    precision: str = "bfloat16"


@dataclass(frozen=True)
class Reference:
    """A row of the zoo. The network is the one of the same name in ARCHITECTURES.

    instances: whether it finds objects one by one; then it has a loss of its own.
    """

    data: DataSet
    settings: Settings = field(default_factory=lambda: Settings(epochs=40))
    instances: bool = False


OWN_LOSS = "its own"
_INSTANCES = Settings(
    epochs=10, loss=OWN_LOSS, class_weights=False, learning_rate=2e-3, augment=True, precision="float32"
)


ZOO: Mapping[str, Reference] = {
    "plain": Reference(CAMVID, Settings(epochs=36, crop=(160, 192))),
    "unet": Reference(CAMVID, Settings(epochs=40, crop=(160, 192))),
    "unet_bilinear": Reference(CAMVID, Settings(epochs=32, crop=(160, 192))),
    "segnet": Reference(CAMVID, Settings(epochs=40, crop=(160, 192))),
    "linknet": Reference(CAMVID, Settings(epochs=60)),
    "fcn8s": Reference(CAMVID, Settings(epochs=30, crop=(160, 192))),
    "pspnet": Reference(CAMVID, Settings(epochs=36, crop=(128, 192))),
    "fpn": Reference(CAMVID, Settings(epochs=60)),
    "deeplabv3plus": Reference(CAMVID, Settings(epochs=44, crop=(160, 192))),
    "fc_densenet": Reference(CAMVID, Settings(epochs=28, crop=(160, 192))),
    "mobile": Reference(CAMVID, Settings(epochs=34, crop=(160, 192))),
    "wbc_unet": Reference(WHITE_CELLS, Settings(epochs=30)),
    "cells_unet": Reference(
        CELLS,
        Settings(
            epochs=18,
            batch=16,
            loss="cross-entropy+dice",
            class_weights=False,
            weight_decay=1e-4,
            crop=(96, 96),
            augment=False,
            precision="float32",
        ),
    ),
    "yolo_seg": Reference(CELL_OBJECTS, replace(_INSTANCES, epochs=12), instances=True),
    "mask_rcnn": Reference(CELL_OBJECTS, replace(_INSTANCES, epochs=7), instances=True),
}
