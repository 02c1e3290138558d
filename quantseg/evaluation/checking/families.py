"""Preprocessing of known families of models: what exporters, frameworks and model zoos feed their networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from quantseg.data.recipe import InputRecipe

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@dataclass(frozen=True)
class PreprocessingFamily:
    """x = (pixel · scale − mean) / std, of channels in this order.

    signs: lower-case texts in the model's producer, its input's name or its file's name that hint at the family.
    """

    name: str
    channels: str
    scale: float
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)
    signs: tuple[str, ...] = ()

    def applied(self, recipe: InputRecipe) -> InputRecipe:
        """The recipe with the family's preprocessing; size, layout, resize and name stay."""
        return replace(recipe, channels=self.channels, scale=self.scale, mean=self.mean, std=self.std)


FAMILIES: Sequence[PreprocessingFamily] = (
    PreprocessingFamily(
        "torchvision, segmentation_models.pytorch: ImageNet mean and std", "RGB", 1 / 255, *IMAGENET, ("pytorch",)
    ),
    PreprocessingFamily(
        "Ultralytics, MediaPipe, kornia: 0…1", "RGB", 1 / 255, signs=("ultralytics", "yolo", "mediapipe", "selfie")
    ),
    PreprocessingFamily(
        "Keras, TensorFlow, PaddleSeg: −1…1", "RGB", 1 / 127.5, (1.0,), signs=("tf2onnx", "keras", "sub_7", "voc")
    ),
    PreprocessingFamily("Open Model Zoo (OpenVINO): 0…255", "BGR", 1.0, signs=("openvino", "adas", "_0001", "-0001")),
    PreprocessingFamily("PaddleOCR: ImageNet mean and std on BGR", "BGR", 1 / 255, *IMAGENET, ("paddle", "ppocr")),
    PreprocessingFamily("Keras with its scaling inside: 0…255", "RGB", 1.0),
    PreprocessingFamily("Caffe: 0…255 minus the mean", "BGR", 1.0, (104.0, 117.0, 123.0), signs=("caffe",)),
    PreprocessingFamily("OpenCV images: 0…1", "BGR", 1 / 255),
    PreprocessingFamily(
        "OpenCV images: ImageNet mean and std, reversed", "BGR", 1 / 255, IMAGENET[0][::-1], IMAGENET[1][::-1]
    ),
    PreprocessingFamily("OpenCV images: −1…1", "BGR", 1 / 127.5, (1.0,)),
    PreprocessingFamily("VGG: 0…255 minus the mean", "RGB", 1.0, (123.68, 116.779, 103.939)),
    PreprocessingFamily(
        "SINet, ESPNet: standardised, then divided by 255",
        "BGR",
        1.0,
        (102.890434, 111.25247, 126.91212),
        (16047.8946, 16019.4519, 16920.704775),
        ("sinet", "espnet"),
    ),
)
"""The more frequent ones come first."""

GREY: Sequence[PreprocessingFamily] = (
    PreprocessingFamily("grey: 0…1", "GRAY", 1 / 255),
    PreprocessingFamily("grey: −1…1", "GRAY", 1 / 127.5, (1.0,)),
    PreprocessingFamily("grey: 0…255", "GRAY", 1.0),
    PreprocessingFamily("grey: mean and std of ImageNet", "GRAY", 1 / 255, (0.449,), (0.226,)),
)


def families_for(recipe: InputRecipe) -> Sequence[PreprocessingFamily]:
    """The families whose number of channels the recipe has; none for arrays and volumes."""
    if recipe.channels is None or recipe.size is None:
        return ()
    return GREY if recipe.channels == "GRAY" else FAMILIES


AS_GIVEN, SWAPPED = "as given", "red and blue exchanged"


def candidates(recipe: InputRecipe) -> Mapping[str, InputRecipe]:
    """Name → preprocessing to try: as given, with one thing changed, and of all families; each once."""
    tried = {
        AS_GIVEN: recipe,
        SWAPPED: swapped(recipe),
        "255 times larger": replace(recipe, scale=recipe.scale * 255),
        "255 times smaller": replace(recipe, scale=recipe.scale / 255),
        **{family.name: family.applied(recipe) for family in families_for(recipe)},
    }
    kept: dict[str, InputRecipe] = {}
    for name, one in tried.items():
        if not any(same(one, other) for other in kept.values()):
            kept[name] = one
    return kept


def family_of(recipe: InputRecipe) -> str | None:
    """The name of the family that makes the same numbers; None where there is none."""
    return next((one.name for one in families_for(recipe) if same(one.applied(recipe), recipe)), None)


def hinted(recipe: InputRecipe, told: str) -> bool:
    """Whether a text (producer, file, input) has a sign of the recipe's family."""
    found = [one for one in families_for(recipe) if same(one.applied(recipe), recipe)]
    return any(sign in told.lower() for family in found for sign in family.signs)


def same(one: InputRecipe, other: InputRecipe) -> bool:
    """Whether two recipes make nearly the same numbers of a pixel."""
    return one.channels == other.channels and all(
        abs(a - b) <= 0.02 * max(abs(a), abs(b), 1e-9) + tolerance
        for (a, b, tolerance) in zip(_line(one), _line(other), _tolerances(one), strict=True)
    )


def gain(recipe: InputRecipe) -> float:
    """By how much x grows with one step of the pixel, on average over the channels."""
    return recipe.scale * sum(1 / one for one in recipe.std) / len(recipe.std)


def swapped(recipe: InputRecipe) -> InputRecipe:
    """The recipe with red and blue exchanged; mean and std stay as they are written."""
    return replace(recipe, channels={"RGB": "BGR", "BGR": "RGB"}.get(recipe.channels or "", recipe.channels))


def _line(recipe: InputRecipe) -> tuple[float, ...]:
    """x of a black and of a white pixel, for three channels."""
    triple = [(m, s) for m, s in zip(_three(recipe.mean), _three(recipe.std), strict=True)]
    return tuple((pixel * recipe.scale - m) / s for pixel in (0, 255) for m, s in triple)


def _tolerances(recipe: InputRecipe) -> tuple[float, ...]:
    return (0.02 * 255 * gain(recipe),) * 6


def _three(values: tuple[float, ...]) -> tuple[float, ...]:
    return values if len(values) == 3 else values[:1] * 3
