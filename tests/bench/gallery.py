"""The gallery of the documentation: what each model's masks look like in float and in int8.

    python -m tests.bench.gallery                   # draws docs/pictures/gallery/*.png and writes docs/gallery.md
    python -m tests.bench.gallery unet --effort fast

The image that is shown is the one of median agreement whose mask has more than one class, not the best one. Photographs
of the data sets may not be redistributed, not even pale behind what differs, so of them only masks are shown; the drawn
blood smears are shown whole.
"""

import base64
import io
import json
import statistics
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw, ImageFont

import quantseg as qs
from quantseg.evaluation.predictions import compare, open_pair
from quantseg.files import write_json, write_text
from quantseg.refinement.options import Options
from quantseg.report.images import Panel, image
from quantseg.runtimes.provenance import provenance
from tests.bench import contestants, writing

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PICTURES = DOCS / "pictures/gallery"
FIGURES = PICTURES / "figures.json"
CALIBRATION, JUDGED = 24, 16
GAP, TITLE, LARGEST = 8, 22, 224
DEMO, DEMO_PANEL = "cells_unet", 280

ABOUT: Mapping[str, str] = {
    "cells_unet": "U-Net on drawn blood smears: the demo's model",
    "deeplab_v3_mbv2_voc": "DeepLabV3 on MobileNetV2, trained by its authors on VOC; here it looks at street scenes",
    "deeplabv3plus": "DeepLabV3+: depthwise and atrous convolutions, ReLU6",
    "fc_densenet": "FC-DenseNet: dense Concat, BatchNormalization before the convolution",
    "fcn8s": "FCN-8s: ConvTranspose 16x16 at stride 8",
    "fpn": "FPN: sums of four levels",
    "linknet": "LinkNet: ConvTranspose 3x3 whose windows overlap, Add of skips",
    "mobile": "MobileNetV3 in the manner of SINet: hard-swish, squeeze-and-excitation, PReLU",
    "plain": "an encoder and ConvTranspose, nothing beside them",
    "ppocr_mobile_v2_det": "text detection of PP-OCR, trained by its authors; here it looks at street scenes",
    "pspnet": "PSPNet: averages over the whole image beside single pixels",
    "road_segmentation_adas_0001": "road segmentation of Open Model Zoo, trained by its authors",
    "segnet": "SegNet: MaxPool with indices, MaxUnpool",
    "sinet_portrait": "SINet, portraits, trained by its authors; calibrated and judged on the same ten photographs",
    "unet": "U-Net: ConvTranspose 2x2, Concat",
    "unet_bilinear": "U-Net with bilinear Resize in the decoder",
    "wbc_unet": "U-Net on white blood cells",
}


@dataclass(frozen=True)
class Entry:
    """What the gallery says of a model, on images that calibration did not see. Agreement: 0…1.

    worst: agreement of the worst image; shown: of the one that is shown, the median. smaller: float bytes over int8
    bytes. kept_float: nodes of `nodes` that compute in float.
    """

    name: str
    effort: str
    agreement: float
    worst: float
    shown: float
    smaller: float
    kept_float: int
    nodes: int

    @property
    def row(self) -> str:
        """A row of the gallery's table, with its picture."""
        where = ROOT / f"reports/{self.name}/report.md"
        name = f"[{self.name}](../reports/{self.name}/report.md)" if where.is_file() else self.name
        alt = f"Masks of {self.name}, float and int8, and the pixels that differ"
        facts = f"**{name}**: {ABOUT[self.name]}<br>"
        facts += f"agreement **{100 * self.agreement:.1f} %**, worst image {100 * self.worst:.1f} %, "
        facts += f"shown {100 * self.shown:.1f} %; {self.smaller:.1f} times smaller; "
        facts += f"{self.nodes - self.kept_float} of {self.nodes} nodes in int8"
        return f"| {facts} | ![{alt}](pictures/gallery/{self.name}.png) |"


def entry(name: str, effort: str) -> Entry:
    """Quantises a model, judges it, and draws its picture."""
    options = Options(effort=effort, threads=contestants.THREADS)
    with contestants.subject(name, calibration=CALIBRATION, validation=JUDGED) as subject:
        result = subject.quantised(options)
        found = qs.evaluate(subject.model, result, subject.validation)
        ordered = sorted(found.per_image, key=lambda one: (one.agreement, one.name))
        with tempfile.TemporaryDirectory() as folder:
            int8 = result.save(Path(folder) / "int8.onnx")
            sizes = subject.path.stat().st_size, int8.stat().st_size
            with open_pair(subject.path, int8, threads=contestants.THREADS) as opened:
                for shown in from_the_middle(ordered):
                    index = subject.validation.names.index(shown.name)
                    compared = compare(*opened, subject.validation, subject.model.recipe, index)
                    if len(np.unique(compared.reference.masks)) > 1:
                        break
    if name != DEMO:
        compared = replace(compared, reference=replace(compared.reference, image=None))
    drawn = image(compared, found.classes, subject.model.recipe.output.ignore_index)
    panels = [panel for panel in drawn.panels if panel.title != "label"]
    save(side_by_side(panels, LARGEST), PICTURES / f"{name}.png")
    if name == DEMO:
        save(side_by_side(panels, DEMO_PANEL), DOCS / "pictures/demo.png")
    plan = result.plan
    return Entry(
        name,
        effort,
        found.agreement,
        ordered[0].agreement,
        shown.agreement,
        sizes[0] / sizes[1],
        len(plan.nodes) - len(plan.quantised),
        len(plan.nodes),
    )


def from_the_middle(ordered: Sequence[T]) -> list[T]:
    """The median first, then those on both sides of it, the farthest last."""
    middle = len(ordered) // 2
    places = sorted(range(len(ordered)), key=lambda place: abs(place - middle))
    return [ordered[place] for place in places]


def side_by_side(panels: Sequence[Panel], largest: int) -> Image.Image:
    """The panels in a row, their longer side `largest` pixels, each with its title above."""
    factor = largest / max(panels[0].width, panels[0].height)
    width, height = round(panels[0].width * factor), round(panels[0].height * factor)
    canvas = Image.new("RGB", (len(panels) * (width + GAP) - GAP, height + TITLE), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(13)
    for place, panel in enumerate(panels):
        left = place * (width + GAP)
        pen.text((left + 2, 2), panel.title, fill=(64, 72, 84), font=font)
        content = Image.open(io.BytesIO(base64.b64decode(panel.uri.partition(",")[2]))).convert("RGB")
        how = Image.Resampling.LANCZOS if panel.title == "image" else Image.Resampling.NEAREST
        canvas.paste(content.resize((width, height), how), (left, TITLE))
    return canvas


def save(canvas: Image.Image, path: Path) -> None:
    """As a PNG without loss; masks are few colours, and small as a palette."""
    path.parent.mkdir(parents=True, exist_ok=True)
    few = canvas.getcolors(256) is not None
    (canvas.convert("P", palette=Image.Palette.ADAPTIVE, colors=256) if few else canvas).save(path, optimize=True)


def page(entries: Sequence[Entry]) -> str:
    """docs/gallery.md."""
    mean = statistics.fmean(one.agreement for one in entries)
    here = provenance()
    versions = f"onnxruntime {here.packages['onnxruntime']}, {here.processor}"
    return f"""# Gallery

{len(entries)} models, each with the masks of float and int8 and the pixels that differ, thickened so that single
ones can be seen. The image that is shown is the one of median agreement among {JUDGED} that calibration did not see
(where its mask is empty, the next). Agreement is the mean IoU between the int8 and the float masks, {100 * mean:.1f} %
in the mean of these models, made with {_efforts(entries)}; what the default, `balanced`, gains: [results](results.md).
No model was given labels.

Photographs of the data sets may not be redistributed, so of them only masks are shown. The
[report of cells_unet](../reports/cells_unet/index.html) has the slider between the masks; `quantseg report` makes one
of your model.

| model | masks |
|---|---|
{chr(10).join(one.row for one in entries)}

Drawn by `python -m tests.bench.gallery`: {CALIBRATION} images to calibrate, {versions}.
"""


def _efforts(entries: Sequence[Entry]) -> str:
    """Which models were made at which effort."""
    used: dict[str, list[str]] = {}
    for one in entries:
        used.setdefault(one.effort, []).append(one.name)
    if len(used) == 1:
        return f"`--effort {next(iter(used))}`"
    most = max(used, key=lambda effort: len(used[effort]))
    rest = (f"`{effort}` for {', '.join(names)}" for effort, names in sorted(used.items()) if effort != most)
    return f"`--effort {most}`, but {'; '.join(rest)}"


def main() -> None:
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="names; without: all")
    parser.add_argument("--effort", default="balanced")
    asked = parser.parse_args()
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    for name in asked.models or ABOUT:
        known[name] = asdict(entry(name, asked.effort))
        print(name, known[name], flush=True)
        write_json(FIGURES, dict(sorted(known.items())))
        write_text(DOCS / "gallery.md", page([Entry(**one) for _, one in sorted(known.items())]))


if __name__ == "__main__":
    main()
