"""The check of a model and its data: what was understood, what is wrong, and which preprocessing fits best."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from quantseg import graph
from quantseg.calibration.context import Context
from quantseg.data import Address, ModelInputs, Subset, open_dataset
from quantseg.data.folder import choose
from quantseg.data.heads import InstanceHead, head_of
from quantseg.data.inputs import open_inputs
from quantseg.data.preprocess import shown
from quantseg.data.recipe import METADATA_KEY, Recipe, complete, image_input
from quantseg.data.sources import array_shape
from quantseg.evaluation.checking import holding
from quantseg.evaluation.checking.declared import array_layout, open_size, put_right, stride_of
from quantseg.evaluation.checking.holding import Held
from quantseg.evaluation.checking.trials import CheckedModel
from quantseg.evaluation.checking.trying import IMAGES, class_count, tried
from quantseg.evaluation.checking.values import WARNING, Check, Finding, Guess
from quantseg.quantization.float_model import RecipeSource, declared_recipe, inputs_of


@dataclass(frozen=True)
class CheckedPlaces:
    """Where the images and masks are. data: of the model's kind; None: only the model is looked at.

    masks: a folder of masks in place of those beside the images. calib: images to calibrate on, which those of `data`
    should not be among.
    """

    data: Path | None = None
    masks: Path | None = None
    calib: Path | None = None
    follow_links: bool = False


def check(path: Path, source: RecipeSource, places: CheckedPlaces, context: Context) -> Check:
    """Checks a model and its data. Raises ModelError, RecipeError, DataError where nothing can be looked at."""
    model = graph.load(path)
    inputs, outputs = graph.signature(model)
    declared = declared_recipe(model, str(path), source)
    right, findings = put_right(declared, inputs)
    spec = image_input(inputs, right.input)
    held = None if places.data is None else holding.opened(places.data, places.masks, follow_links=places.follow_links)
    calib = None if places.calib is None else holding.opened(places.calib, None, follow_links=places.follow_links)
    right, more = open_size(right, spec, _first_size(held), stride_of(model))
    findings += more
    recipe = complete(right, inputs, outputs, model=str(path))
    if array_shape(places.data) is not None and (wrong := array_layout(array_shape(places.data) or (), spec)):
        findings.append(wrong)
        held = None
    given = inputs_of(model, str(path), recipe, source)
    guess: Guess | None = None
    count = class_count(recipe)
    if held is not None:
        held = holding.with_ids(held, _classes_of_masks(recipe), recipe.output.ignore_index)
        findings += [*held.findings, *_overlap(held, calib)]
        items = _items(held, recipe, given, places)
        if items:
            told = f"{path.name} {spec.name} {model.producer_name}"
            subject = CheckedModel(model, recipe, spec, outputs, items, told, _is_declared(source, model))
            found, guess, count = tried(subject, held, context)
            findings += found
    return Check(
        model=str(path),
        inputs=inputs,
        outputs=outputs,
        image=spec.name,
        recipe=recipe,
        recipe_from=_from(source, model),
        declared=_is_declared(source, model),
        classes=count,
        data=None if held is None else held.facts,
        calib=None if calib is None else calib.facts,
        guess=guess,
        findings=tuple(findings),
    )


def _classes_of_masks(recipe: Recipe) -> tuple[str, ...]:
    """The classes of the ids in masks: beside instances these have a background, id 0, which no instance is of."""
    classes = recipe.output.classes
    return ("background", *classes) if classes and isinstance(head_of(recipe.output), InstanceHead) else classes


def _items(held: Held, recipe: Recipe, inputs: ModelInputs, places: CheckedPlaces) -> tuple[Any, ...]:
    """Some items of the data, without masks."""
    if held.images is not None:
        bare = held.images.take(choose(tuple(range(len(held.images))), IMAGES))
        data = open_inputs(bare, recipe, inputs, place=places.data)
    else:
        assert places.data is not None
        where = Address(places.data, follow_links=places.follow_links)
        data = open_dataset(where, recipe, inputs=inputs, masks=False)
        data = Subset(data, choose(tuple(range(len(data.names))), IMAGES))
    return tuple(data.load(index) for index in range(len(data.names)))


def _overlap(held: Held, calib: Held | None) -> list[Finding]:
    """A finding where images to judge on are among those to calibrate on."""
    if calib is None or calib.samples is None or held.samples is None:
        return []
    shared = holding.shared_images(held.samples, calib.samples)
    if not shared:
        return []
    fact = f"{shared} of the {held.facts.images} images of {held.facts.place} are also in {calib.facts.place}"
    return [Finding("splits", WARNING, fact, "calibrate on images that are not judged", {"shared": shared})]


def _first_size(held: Held | None) -> tuple[int, int]:
    """Height and width of the first image; a usual size where there is none."""
    if held is None or held.samples is None or not len(held.samples):
        return 256, 256
    pixels = shown(held.samples.rows[0].image())
    return pixels.shape[0], pixels.shape[1]


def _is_declared(source: RecipeSource, model: ir.Model) -> bool:
    preprocessing = any(source.flags.get(name) is not None for name in ("channels", "scale", "mean", "std"))
    return source.file is not None or METADATA_KEY in model.metadata_props or preprocessing


def _from(source: RecipeSource, model: ir.Model) -> str:
    """Where the recipe comes from, in words."""
    flagged = sorted(name for name, value in source.flags.items() if value is not None)
    told = str(source.file) if source.file is not None else "the model's metadata"
    if source.file is None and METADATA_KEY not in model.metadata_props:
        told = "nowhere: pixels in 0…1"
    return f"{told}, and {', '.join(flagged)} as given" if flagged else told
