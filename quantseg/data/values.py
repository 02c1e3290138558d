"""The values of a recipe. None means: resolved from the model by `recipe.signature.complete`, or found there anew."""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field

from quantseg.errors import RecipeError
from quantseg.files import limits
from quantseg.graph import TensorSpec

VOLUME = "NCDHW"
"""The layout of volumes, whose slices are D images of height and width."""
INPUT_LAYOUTS = ("NCHW", "NHWC", VOLUME)
OUTPUT_LAYOUTS = ("NCHW", "NHWC", "NHW", VOLUME)
CHANNELS = {"RGB": 3, "BGR": 3, "GRAY": 1}
"""Channel order → number of channels."""
RESIZES = ("nearest", "bilinear", "bicubic", "lanczos", "box")
CHANNEL_AXIS = {"NCHW": 1, "NHWC": 3}
SPATIAL_AXES = {"NCHW": (2, 3), "NHWC": (1, 2), "NHW": (1, 2)}
"""Axes of height and width. Of a volume, whose mask has its slices one below another, these are those of a slice."""
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool")


def listing(specs: Sequence[TensorSpec]) -> str:
    """The inputs or outputs in one line, for messages."""
    return ", ".join(str(spec) for spec in specs) or "none"


@dataclass(frozen=True)
class InputRecipe:
    """From an image to the input tensor: x = (pixel · scale − mean) / std, pixel in 0…255.

    size: (height, width) in pixels. layout: NCHW, NHWC, or NCDHW for volumes, which are arrays. channels: a key of
    CHANNELS. mean, std: one number, or one per channel in the order of `channels`. resize: Pillow's filter. name: of
    the input that takes the image; None: the one that looks like an image. Raises RecipeError for a value that is not
    allowed.
    """

    size: tuple[int, int] | None = None
    layout: str | None = None
    channels: str | None = None
    scale: float = 1 / 255
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    resize: str = "bilinear"
    name: str | None = None

    def __post_init__(self) -> None:
        if self.size is not None:
            in_bounds = len(self.size) == 2 and all(1 <= side <= limits.INPUT_SIDE for side in self.size)
            _require(in_bounds, "input.size", self.size, f"two whole numbers in 1…{limits.INPUT_SIDE}: height, width")
        _require_member("input.layout", self.layout, INPUT_LAYOUTS)
        _require_member("input.channels", self.channels, tuple(CHANNELS))
        _require_member("input.resize", self.resize, RESIZES)
        _require(math.isfinite(self.scale) and self.scale > 0, "input.scale", self.scale, "a positive number")
        finite = bool(self.mean) and all(map(math.isfinite, self.mean))
        _require(finite, "input.mean", self.mean, "one finite number, or one per channel")
        positive = bool(self.std) and all(math.isfinite(s) and s > 0 for s in self.std)
        _require(positive, "input.std", self.std, "one positive number, or one per channel")


@dataclass(frozen=True)
class OutputRecipe:
    """From an output tensor to classes.

    name: of the output. layout: NCHW, NHWC, NHW without a channel axis, or NCDHW for volumes. head: a key of
    `heads.HEADS`. threshold: in the units of the output, for the heads that have one; of instances the least score.
    classes: class names. ignore_index: the id of ignored pixels in masks. size, nms_iou: of heads of instances alone:
    (height, width) of their masks, and the box IoU above which the lower of two scores is dropped. Raises RecipeError
    for a value that is not allowed.
    """

    name: str | None = None
    layout: str | None = None
    head: str | None = None
    threshold: float = 0.5
    classes: tuple[str, ...] = ()
    ignore_index: int | None = None
    size: tuple[int, int] | None = None
    nms_iou: float | None = None

    def __post_init__(self) -> None:
        _require_member("output.layout", self.layout, OUTPUT_LAYOUTS)
        _require(math.isfinite(self.threshold), "output.threshold", self.threshold, "a finite number")
        distinct = len(set(self.classes)) == len(self.classes)
        _require(distinct, "output.classes", self.classes, "names that differ from each other")
        if self.size is not None:
            in_bounds = len(self.size) == 2 and all(1 <= side <= limits.INPUT_SIDE for side in self.size)
            _require(in_bounds, "output.size", self.size, f"two whole numbers in 1…{limits.INPUT_SIDE}: height, width")
        is_share = self.nms_iou is None or 0 < self.nms_iou <= 1
        _require(is_share, "output.nms_iou", self.nms_iou, "a number in 0…1, not 0")


@dataclass(frozen=True)
class Recipe:
    """How the model's input is made from an image and how its output is read."""

    input: InputRecipe = field(default_factory=InputRecipe)
    output: OutputRecipe = field(default_factory=OutputRecipe)

    def to_toml(self) -> str:
        """TOML text: tables [input] and [output], None fields left out; equal recipes give equal text."""
        import tomli_w

        tables = {
            table: {key: value for key, value in fields.items() if value is not None}
            for table, fields in asdict(self).items()
        }
        return tomli_w.dumps(tables)


def _require(holds: bool, key: str, value: object, allowed: str) -> None:
    if not holds:
        raise RecipeError(f"{key}: {reprlib.repr(value)} is not allowed; give {allowed}")


def _require_member(key: str, value: str | None, allowed: tuple[str, ...]) -> None:
    _require(value is None or value in allowed, key, value, "one of " + ", ".join(allowed))
