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
from quantseg.errors import DataError, PlanError
from quantseg.evaluation.judgement import judge
from quantseg.quantization.folding import Fold
from quantseg.quantization.writing import QuantizedModel
from quantseg.refinement.options import Options, chosen, made_by
from quantseg.report.reporting import made_of
from quantseg.report.verdict import worded

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from quantseg.refinement import options as of
    from quantseg.shipping import App, Story

APP_FOLD = Fold(preprocess=True, argmax=True)
"""What an app's model folds in, so that it needs no code before or behind it."""


def ship(
    model: stages.Model | QuantizedModel,
    folder: Path | str,
    data: object = None,
    *,
    example: Path | str | None = None,
    about: str | None = None,
    options: Options | None = None,
    **words: "Unpack[of.Words]",
) -> Path:
    """Writes an app of a model to a folder: a web page that works offline, programs in other languages, a model card.

    model: a float model, which is quantised as `quantize` does with fold=("preprocess", "argmax") and calibration
    images `data`; or an int8 model that was folded so, as a result or a file, which is taken as it is, without data and
    options. example: an image that the page shows first. about: what pictures the model is for, in one line, which the
    page begins with. The folder must not be there, or be empty. Needs the npm
    package onnxruntime-web (`quantseg web setup`). Raises ModelError, DataError, MissingExtraError, OutputError.

    >>> app = qs.ship("model.onnx", "app", "calib/", effort="fast")
    >>> sorted(path.name for path in app.iterdir() if path.is_dir())
    ['model', 'native', 'vendor']
    """
    from quantseg import shipping
    from quantseg.shipping.story import story_of

    how, place = chosen(options, words), Path(folder)
    shipping.check_folder(place)
    words_about = shipping.checked_about(about)
    shown_first = None if example is None else example_png(Path(example))
    if is_int8(model):
        if data is not None or made_by(how):
            raise PlanError("data=… and options say how a float model is quantised, and this one is; leave them out")
        return shipping.write_folder(taken_as_it_is(model, shown_first, words_about), place)
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
    return shipping.write_folder(app_of_made(made, name, replace(story, about=words_about), shown_first), place)


def _verdict(given: Calibrated, made: QuantizedModel, data: object, options: Options) -> dict[str, Any]:
    """What is said of the masks, judged on a few of the calibration images; nothing where there are none."""
    if given.images is None:
        return {}
    evaluation = stages.judged_briefly(given.model, made, data, options)
    judged = judge(evaluation, seen=evaluation.images)
    effort, images = options.effort_for(images=True), len(given.calibration.observations.images)
    return judged.to_json() | worded(judged, made_of(made, given.model.name, effort, images)).to_json()


def is_int8(model: stages.Model | QuantizedModel) -> bool:
    """Whether a model is quantised already. Raises ModelError for a file that is none."""
    from quantseg import graph

    if isinstance(model, QuantizedModel):
        return True
    if not isinstance(model, (str, Path)):
        return False
    return graph.is_quantised(graph.load(Path(model)))


def taken_as_it_is(model: object, example: bytes | None, about: str | None, *, command: str | None = None) -> "App":
    """The app of an int8 model. example: a PNG. about, command: as in Story. Raises ModelError."""
    from quantseg import graph, shipping

    story = shipping.Story(about=about, command=command)
    if isinstance(model, QuantizedModel):
        return app_of_made(model, "model", story, example)
    path = Path(str(model))
    name = path.stem.removesuffix(".int8")
    graph.load(path)  # checks it, and raises the errors that name the file
    return shipping.app_of(path.read_bytes(), name, story, example=example)


def app_of_made(made: QuantizedModel, name: str, story: "Story", example: bytes | None) -> "App":
    """The app of a model that was quantised just now. Raises ModelError."""
    from quantseg import graph, shipping

    return shipping.app_of(graph.to_bytes(made.model), name, story, example=example)


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
