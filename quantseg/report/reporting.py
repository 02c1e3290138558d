"""Reports on a model that was quantised here, and on a quantised model's file, whichever tool wrote it."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from quantseg.calibration.calibrate import Calibrated
from quantseg.calibration.context import Context
from quantseg.calibration.file import Calibration
from quantseg.data.model_inputs import described
from quantseg.data.sources import Opener
from quantseg.evaluation.model_files import BesideFloat, ModelWithRecipe, taken
from quantseg.evaluation.peer_models import nncf_model, peer_calibrator, peer_model
from quantseg.evaluation.tool_comparison import Entry
from quantseg.quantization.int8_file import NO_INTEGERS, Int8File, read_int8_file
from quantseg.quantization.model_files import as_file, digest
from quantseg.quantization.writing import QuantizedModel
from quantseg.report.building import JudgedData, Measuring, Subject, build_report
from quantseg.report.content import Report
from quantseg.report.plan import summarise_plan
from quantseg.report.summary import NNCF, PEER
from quantseg.report.verdict import Made


@dataclass(frozen=True)
class Reporting:
    """Options of a report. name: None means the model's name.

    rounds: of timing. images: whether images are shown. peer: whether onnxruntime's quantizer is compared.
    openvino: whether NNCF's, in OpenVINO, is too. web: whether latency is also measured in onnxruntime-web, as browsers
    run models. baselines: whether classical methods are compared. int8_model: a path to write the int8 model to as
    well. dataset, note: as `data` and `note` of Report. commands: the command lines that made the report.
    """

    name: str | None = None
    rounds: int = 5
    images: bool = True
    peer: bool = False
    openvino: bool = False
    web: bool = False
    baselines: bool = False
    int8_model: Path | None = None
    dataset: str | None = None
    note: str | None = None
    commands: Sequence[str] = ()


def report_on(
    given: Calibrated, made: QuantizedModel, images: Opener, how: Reporting, effort: str, context: Context
) -> Report:
    """The report on a quantised model: evaluated on images, timed, profiled. Raises ModelError, DataError.

    given: the calibrated float model that `made` was quantised from. images: to evaluate on. effort: the effort level
    that was used. context: its data are the calibration images.
    """
    calibrator = made.candidate.ranges.calibrator
    settings = {"calibrator": calibrator, "effort": effort, "format": made.qformat}
    settings |= {f"input {name}": described(value) for name, value in sorted(given.model.constants.items())}
    with as_file(given.model) as path, tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        model, name = replace(given.model, source=path), how.name or path.stem
        target = made.save(how.int8_model or Path(folder) / f"{name}.int8{made.suffix}")
        peers = list[Entry]()
        if how.peer and given.images is not None:
            place = Path(folder) / f"{name}.onnxruntime.onnx"
            peers.append(
                Entry(PEER, peer_model(model, context, made.candidate.settings, calibrator, place, made.qformat))
            )
            settings[f"{PEER}, calibrator"] = peer_calibrator(calibrator)
        if how.openvino and given.images is not None:
            place = Path(folder) / f"{name}.nncf.xml"
            peers.append(Entry(NNCF, nncf_model(model, context, place), "openvino"))
        judged = JudgedData(images(model.recipe, model.inputs), taken(made, model, images), how.dataset, how.note)
        reference, plan = ModelWithRecipe(path, model.prepared.model, model.recipe, model.inputs), made.plan
        known = (summarise_plan(plan), None, given.calibration, tuple(peers))
        subject = Subject(name, reference, target, plan.tensors, *known)
        told = made_of(made, path.name, effort, len(given.calibration.observations.images))
        return build_report(subject, judged, _measuring(how, settings, told), context)


def made_of(made: QuantizedModel, float_model: str, effort: str, images: int) -> Made:
    """How a model was made. float_model: the file's name. images: that it was calibrated on."""
    settings, calibrator = made.candidate.settings, made.candidate.ranges.calibrator
    clips = None if calibrator == "minmax" else calibrator
    return Made(float_model, effort, settings.weight.name, settings.per_channel, images, clips)


def report_on_file(
    both: BesideFloat, images: Opener, how: Reporting, calibration: Calibration | None, context: Context
) -> Report:
    """The report on a quantised model from a file, by any tool, as far as it can be known without its plan.

    images: to evaluate on. calibration: of the images that it was calibrated on, if they are known. Raises ModelError,
    DataError.
    """
    one, constants = both.one, both.reference.inputs.constants
    said = read_int8_file(one.model)
    settings = {f"input {name}": described(value) for name, value in sorted(constants.items())}
    data, folded = both.data(images)
    notes = (how.note, *_doubts(said, both))
    judged = JudgedData(data, folded, how.dataset, "; ".join(filter(None, notes)) or None)
    grids = {grid.tensor: grid.params for grid in said.grids}
    subject = Subject(how.name or one.path.stem, both.reference, one.path, grids, None, said, calibration)
    return build_report(subject, judged, _measuring(how, settings, Made()), context)


def _measuring(how: Reporting, settings: dict[str, str], made: Made) -> Measuring:
    return Measuring(how.rounds, how.images, how.baselines, settings, how.commands, made, web=how.web)


def _doubts(said: Int8File, both: BesideFloat) -> Iterator[str]:
    """What speaks against the file being the int8 form of the float model."""
    name, reference = both.one.path.name, both.reference.path
    if said.made_from not in (None, digest(reference)):
        yield f"{name} was made from another float model than {reference.name}, says its metadata"
    if said.style == NO_INTEGERS:
        yield f"{name} holds no integers: it is no quantised model"
