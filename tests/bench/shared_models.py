"""Real models that others trained: float, onnxruntime's quantizer and this tool at effort fast, side by side.

    python -m tests.bench.shared_models

Needs the models and images in ../shared, which are not part of this project.
"""

from importlib.util import find_spec
from pathlib import Path

from quantseg import api
from quantseg.data.sources import opener
from quantseg.evaluation.tool_comparison import FLOAT, ONNXRUNTIME, ComparedModel
from quantseg.quantization.float_model import RecipeSource
from quantseg.refinement import levels
from quantseg.refinement.options import Options
from quantseg.report import tables
from tests.bench import writing

RECIPES = Path(__file__).parent / "recipes"
THREADS, ROUNDS = 2, 7
CALIBRATION, VALIDATION = 24, 32
OPTIONS = Options(effort=levels.FAST, limit=CALIBRATION, threads=THREADS)
BESIDE = bool(find_spec("openvino") and find_spec("nncf"))
"""Whether OpenVINO and NNCF stand beside: where they are installed."""
DATA = {
    "deeplab_v3_mbv2_voc": ("camvid/train", "camvid/val", 67.1),
    "road_segmentation_adas_0001": ("camvid/train", "camvid/val", 93.8),
    "sinet_portrait": ("coco10", "coco10", 61.0),
    "ppocr_mobile_v2_det": ("camvid/train", "camvid/val", 86.5),
}
"""Model → images to calibrate on, images to judge on, and the agreement of onnxruntime's quantizer on record, in %."""


def judged(name: str) -> tuple[ComparedModel, ...]:
    """All contestants on one model. Masks of the data are of other classes than the models', so they are left aside."""
    calibration, validation, _ = DATA[name]
    model = api.load(writing.SHARED / "models" / f"{name}.onnx", RecipeSource(RECIPES / f"{name}.toml"))
    images = writing.SHARED / "data"
    given = api.calibrate(model, images / calibration, options=OPTIONS)
    judged_on = opener(images / validation, limit=VALIDATION)
    formats = ("qdq", "channels-last")
    return api.compare(model, judged_on, calib=given, options=OPTIONS, formats=formats, openvino=BESIDE, rounds=ROUNDS)


def main() -> None:
    """Measures and writes the report."""
    writing.parser(__doc__).parse_args()
    results = {name: judged(name) for name in DATA}
    rows = [_row(name, contestant) for name, all_of in results.items() for contestant in all_of]
    headers = ("model", "quantised by", "runtime", "agrees", "on record", "SQNR", "size", "speed")
    page = writing.Page(
        "Real models, this tool beside onnxruntime's quantizer",
        f"{CALIBRATION} images to calibrate and {VALIDATION} others to judge (sinet: the same 10). Agreement: mean IoU "
        "with the float model's masks. onnxruntime's quantizer: per channel, min/max, QDQ, after conversion to opset "
        "13; on record: its figure from another run, on other images. This tool: effort fast, else its defaults (min/"
        "max too); min/max became the default after mse and percentile had been tried on these same images. "
        "sinet flatters this tool: which convolutions run twice for a PRelu was chosen among six rules on its images. "
        "Channels-last here is by rule; what `--target ort-cpu` makes of these models stands in speed.md. OpenVINO: "
        "float in float32; NNCF: its preset for the model, the same images. "
        f"Speed: onnxruntime's float median over own median, {ROUNDS} alternating rounds, {THREADS} threads.",
        {"Agreement, size and speed": (headers, rows)},
        ("openvino", "nncf") if BESIDE else (),
    )
    writing.write("shared_models", page, {name: [c.to_json() for c in all_of] for name, all_of in results.items()})


def _row(name: str, c: ComparedModel) -> tables.Row:
    on_record = f"{DATA[name][2]:.1f} %" if c.name == ONNXRUNTIME else None
    name, what = name.split("_")[0], {ONNXRUNTIME: "its quantizer"}.get(c.name, c.name.removeprefix("quantseg "))
    if c.evaluation is None or c.timing is None:
        return (name, what, c.runtime, f"failed: {c.failed}")
    reference = c.name == FLOAT and c.runtime == "onnxruntime"
    return (
        name,
        what,
        c.runtime,
        None if reference else tables.percent(c.evaluation.agreement),
        on_record,
        None if reference else tables.decibels(c.evaluation.sqnr_db),
        tables.megabytes(c.timing.file_bytes),
        tables.ratio(c.timing.ratio),
    )


if __name__ == "__main__":
    main()
