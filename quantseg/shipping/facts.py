"""What an app must know of its model: sizes, channels, classes and their colours, from the model's own metadata."""

from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from quantseg import graph
from quantseg.data.heads import head_of
from quantseg.data.preprocess import shrinks_columns_first
from quantseg.data.recipe import METADATA_KEY, Recipe, image_input, recipe_from_toml
from quantseg.errors import ModelError
from quantseg.quantization.folding import FLOAT_RECIPE_KEY
from quantseg.quantization.writing import FLOAT_DIGEST_KEY
from quantseg.report.palette import class_colours, css

_AGAIN = "quantise the float model with fold='preprocess' and fold='argmax', or ship the float model itself with data=…"
_CHANNELS = {"RGB": 3, "GRAY": 1}
_MOST_CLASSES = 256


@dataclass(frozen=True)
class AppFacts:
    """What an app must know of its model, which takes uint8 pixels (1, H, W, C) and gives uint8 class ids.

    name: shown as the app's name. size: (height, width) in pixels. channels: RGB or GRAY. resize: Pillow's filter.
    layout: of the output, NHW; NCHW or NHWC with a plane of zeros and ones for each class, where classes overlap.
    preprocessing: what the model does with the pixels by itself: the float model's recipe; empty where it is unknown.
    """

    name: str
    size: tuple[int, int]
    channels: str
    resize: str
    input: str
    output: str
    layout: str
    overlapping: bool
    classes: tuple[str, ...]
    preprocessing: tuple[tuple[str, Any], ...] = ()

    @property
    def colours(self) -> tuple[str, ...]:
        """A colour for each class, as #rrggbb."""
        return tuple(css(colour) for colour in class_colours(self.classes))

    def to_json(self) -> dict[str, Any]:
        """As model/model.json has it, which the page reads."""
        height, width = self.size
        names = zip(self.classes, self.colours, strict=True)
        return {
            "name": self.name,
            "input": {
                "name": self.input,
                "type": "uint8",
                "layout": "NHWC",
                "height": height,
                "width": width,
                "channels": self.channels,
                "resize": self.resize,
                "columns_first": shrinks_columns_first(),
            },
            "output": {"name": self.output, "type": "uint8", "layout": self.layout, "overlapping": self.overlapping},
            "classes": [{"name": name, "colour": colour} for name, colour in names],
            "preprocessing_in_the_model": dict(self.preprocessing),
        }


def facts_of(model: ir.Model, name: str) -> AppFacts:
    """The facts of a quantised model. name: of its file, without ending; begins messages and names the app.

    Raises ModelError for a model that this tool did not write, or that needs code before or behind it: preprocessing or
    head are not folded in, further inputs, several images at once.
    """
    metadata = model.metadata_props
    if FLOAT_DIGEST_KEY not in metadata or METADATA_KEY not in metadata:
        raise ModelError(f"{name}: is not an int8 model of quantseg; {_AGAIN}")
    recipe = recipe_from_toml(metadata[METADATA_KEY], source=f"{name}, metadata")
    inputs, outputs = graph.signature(model)
    if len(inputs) > 1:
        others = ", ".join(spec.name for spec in inputs if spec.name != image_input(inputs, recipe.input).name)
        raise ModelError(f"{name}: takes more than an image ({others}), which a page does not have; export it without")
    image = inputs[0]
    if image.dtype != "uint8" or recipe.input.layout != "NHWC" or recipe.input.channels not in _CHANNELS:
        raise ModelError(f"{name}: takes {image}, not pixels as they are; {_AGAIN}")
    if image.shape[0] not in (None, 1):
        raise ModelError(f"{name}: takes {image.shape[0]} images at once; export it for one")
    head = head_of(recipe.output)
    judged = next((spec for spec in outputs if spec.name == recipe.output.name), outputs[0])
    if judged.dtype != "uint8" or not (head.overlapping or head.name == "labels"):
        raise ModelError(f"{name}: gives {judged}, not class ids; {_AGAIN}")
    assert recipe.input.size is not None
    return AppFacts(
        name=name,
        size=recipe.input.size,
        channels=str(recipe.input.channels),
        resize=recipe.input.resize,
        input=image.name,
        output=judged.name,
        layout=str(recipe.output.layout),
        overlapping=head.overlapping,
        classes=_classes(recipe),
        preprocessing=_preprocessing(metadata.get(FLOAT_RECIPE_KEY), name),
    )


def _classes(recipe: Recipe) -> tuple[str, ...]:
    """The recipe's classes; without any, as many as uint8 holds."""
    return recipe.output.classes or tuple(f"class {number}" for number in range(_MOST_CLASSES))


def _preprocessing(text: str | None, name: str) -> tuple[tuple[str, Any], ...]:
    if text is None:
        return ()
    kept = recipe_from_toml(text, source=f"{name}, metadata").input
    return (("channels", kept.channels), ("scale", kept.scale), ("mean", list(kept.mean)), ("std", list(kept.std)))
