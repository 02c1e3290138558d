"""From a model to a folder that is an app."""

import io
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from quantseg.api import stages
from quantseg.calibration.calibrate import Calibrated
from quantseg.errors import DataError, PlanError, QuantSegError
from quantseg.evaluation.judgement import judge
from quantseg.quantization.folding import Fold
from quantseg.quantization.writing import QuantizedModel
from quantseg.refinement.how_made import made_by
from quantseg.refinement.options import Options, parted
from quantseg.report.reporting import made_of
from quantseg.report.verdict import unjudged, worded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quantseg.refinement import options as of

APP_FOLD = Fold(preprocess=True, argmax=True)
"""What an app's model folds in, so that it needs no code before or behind it."""


def ship(
    model: stages.Model | QuantizedModel,
    folder: Path | str,
    data: object = None,
    *,
    options: Options | None = None,
    **words: "Unpack[of.ShipWords]",
) -> Path:
    """Writes an app of a model to a folder: a web page that works offline, programs in other languages, a model card.

    model: a float model, which is quantised as `quantize` does with fold=("preprocess", "argmax") and calibration
    images `data`; or an int8 model that was folded so, as a result or a file, which is taken as it is, without data and
    options. Keyword arguments: also example, an image that the page shows first, and about, what pictures the model is
    for, in one line, with which the page begins. The folder must not be there, or be empty. Needs the npm package
    onnxruntime-web (`quantseg web setup`). Raises ModelError, DataError, MissingExtraError, OutputError.

    >>> app = qs.ship("model.onnx", "app", "calib/", effort="fast")
    >>> sorted(path.name for path in app.iterdir() if path.is_dir())
    ['model', 'native', 'vendor']
    """
    from quantseg import shipping
    from quantseg.shipping.story import story_of

    page, how = parted(shipping.PageOptions, options, words)
    place, about = Path(folder), shipping.checked_about(page.about)
    shipping.check_folder(place)
    shown_first = None if page.example is None else example_png(Path(page.example))
    if shipping.is_int8(model):
        if data is not None or made_by(how):
            raise PlanError("data=… and options say how a float model is quantised, and this one is; leave them out")
        told = shipping.Story(about=about)
        if isinstance(model, QuantizedModel):
            return shipping.write_folder(shipping.app_of_result(model, "model", told, shown_first), place)
        return shipping.write_folder(shipping.app_of_file(Path(str(model)), told, shown_first), place)
    assert not isinstance(model, QuantizedModel)
    if data is None:
        raise DataError("a float model is quantised for the app; give calibration images with data=…")
    how = replace(how, fold=APP_FOLD)
    given = stages.calibrated(model, data, how)
    made = stages.fitted(stages.folded(stages.refined(given, how), how), how)
    effort = how.effort_for(images=given.images is not None)
    images = len(given.calibration.observations.images)
    story = story_of(made, effort=effort, images=images, verdict=_verdict(given, made, data, how))
    name = given.model.source.stem if isinstance(given.model.source, Path) else "model"
    app = shipping.app_of_result(made, name, replace(story, about=about), shown_first)
    return shipping.write_folder(app, place)


def _verdict(given: Calibrated, made: QuantizedModel, data: object, options: Options) -> dict[str, Any]:
    """What is said of the masks, judged on a few of the calibration images; nothing where there are none.

    Arrays that were made for the float model do not fit one that takes pixels: the verdict then says so.
    """
    if given.images is None:
        return {}
    try:
        evaluation = stages.judged_briefly(given.model, made, data, options)
    except QuantSegError as error:
        verdict = unjudged(f"The masks could not be judged: {error}")
        return {"level": verdict.level} | verdict.to_json()
    judged = judge(evaluation, seen=evaluation.images)
    effort, images = options.effort_for(images=True), len(given.calibration.observations.images)
    return judged.to_json() | worded(judged, made_of(made, given.model.name, effort, images)).to_json()


def example_png(path: Path) -> bytes:
    """An image file as an RGB PNG, which every browser reads. Raises DataError."""
    from quantseg.data.images import read_image
    from quantseg.data.preprocess import shown

    return png(shown(read_image(path)))


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Pixels (H, W, 3) as a PNG."""
    target = io.BytesIO()
    Image.fromarray(pixels).save(target, "PNG", optimize=True)
    return target.getvalue()
