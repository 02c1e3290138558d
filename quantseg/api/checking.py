"""What the tool understands of a model and its data, and what is wrong with them, in seconds."""

from pathlib import Path

from quantseg.api.stages import Recipe
from quantseg.evaluation.checking import check as checks
from quantseg.evaluation.checking.values import Check
from quantseg.quantization.float_model import RecipeSource
from quantseg.quantization.model_files import AnyModel, as_file
from quantseg.refinement.options import Options


def check(
    model: AnyModel,
    data: Path | str | None = None,
    *,
    recipe: Recipe = None,
    masks: Path | str | None = None,
    calib: Path | str | None = None,
    options: Options | None = None,
) -> Check:
    """Says what is understood of a float model and its data, what is wrong, and which known preprocessing fits best.

    data: folder or address of images, of which a few are looked at; None: only the model is. masks: a folder of masks
    in place of those beside the images. calib: images to calibrate on, which those of `data` should not be among.
    Raises ModelError, RecipeError, DataError where nothing can be looked at.

    >>> found = qs.check("model.onnx", "val/")
    >>> found.image, found.recipe.output.head, found.classes
    ('x', 'argmax', 3)
    """
    how = options or Options()
    data, masks, calib = (None if place is None else Path(place) for place in (data, masks, calib))
    places = checks.CheckedPlaces(data, masks, calib, how.follow_links)
    with as_file(model) as path:
        return checks.check(path, RecipeSource.of(recipe, how.inputs), places, how.context())
