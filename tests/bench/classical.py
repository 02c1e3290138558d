"""Classical methods beside the networks in float and in int8: what a small int8 network buys over Otsu and watershed.

    python -m tests.bench.classical [--only cells|wbc] [--rounds 5]

Needs scikit-image (the extra `classical`) and, for the white blood cells, the images in ../shared, which are not part
of this project; without them only the drawn cells are judged.
"""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from quantseg import api
from quantseg.data import Dataset, Subset
from quantseg.data.folder import choose
from quantseg.data.sources import opener
from quantseg.evaluation.agreement import Pair
from quantseg.evaluation.classical import FLOAT, INT8, Baseline, Baselines, judged_beside, learn
from quantseg.evaluation.reference_models import CALIBRATION_SEED, split_fifth
from quantseg.quantization.float_model import FloatModel
from quantseg.refinement.options import Options
from quantseg.report import tables
from quantseg.runtimes import DEFAULT
from tests.bench import contestants, writing

LEARNING, CALIBRATION, VALIDATION = 16, 24, 64
"""Training images to learn colours from, and to calibrate on; images to judge on: of the white cells there are 60."""
THREADS = 1
"""Of the networks, too: the methods use one."""
MODELS = {"cells": "cells_unet", "wbc": "wbc_unet"}
TITLES = {"cells": "Drawn blood cells", "wbc": "White blood cells"}
SLIDE = ("Otsu", "watershed")
"""The methods of the last slide."""
WHITE_CELLS = writing.SHARED / "data" / "wbc"


@dataclass(frozen=True)
class Found:
    """One data set: its figures, and the network's name."""

    network: str
    baselines: Baselines

    def row(self, name: str) -> Baseline:
        """The row of a system."""
        return next(row for row in self.baselines.rows if row.name == name)

    @property
    def best(self) -> Baseline:
        """The method with the largest mean IoU."""
        return max(self.baselines.methods, key=lambda row: row.mean_iou or 0.0)


def learning_images(data: str, model: FloatModel) -> Dataset:
    """Labelled training images, evenly spread."""
    if data == "cells":
        return opener(f"cells:{LEARNING}#{CALIBRATION_SEED}", masks=True)(model.recipe, model.input)
    every = opener(WHITE_CELLS, masks=True)(model.recipe, model.input)
    chosen = set(choose(split_fifth(every.names)[0], LEARNING))
    return Subset(every, tuple(k for k, name in enumerate(every.names) if name in chosen))


@contextmanager
def both(subject: contestants.Subject) -> Iterator[Pair]:
    """The float model and what `quantseg quantize` makes of it with its default settings."""
    with tempfile.TemporaryDirectory() as folder:
        images = Subset(subject.calibration, choose(tuple(range(len(subject.calibration.names))), CALIBRATION))
        made = api.quantize(subject.model, images, options=Options(threads=THREADS))
        int8 = made.save(Path(folder) / "int8.onnx")
        yield Pair(subject.path, int8, (DEFAULT, DEFAULT), THREADS)


def measured(data: str, rounds: int) -> Found:
    """Learns, judges and times everything on one data set."""
    name = MODELS[data]
    with (
        contestants.subject(name, calibration=CALIBRATION, validation=VALIDATION) as subject,
        both(subject) as pair,
    ):
        learning, recipe = learning_images(data, subject.model), subject.model.recipe
        rules = learn(learning, recipe)
        context = Options(threads=THREADS).context()
        found = judged_beside(rules, pair, subject.validation, recipe, context, rounds=rounds)
        return Found(name, replace(found, learnt_from=len(learning.names)))


def main() -> None:
    """Measures and writes the report."""
    parser = writing.parser(__doc__)
    parser.add_argument("--only", choices=tuple(MODELS), help="one data set")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    wanted = [given.only] if given.only else [data for data in MODELS if data == "cells" or WHITE_CELLS.is_dir()]
    results = {data: measured(data, given.rounds) for data in wanted}
    page = writing.Page(
        "Classical methods beside the networks",
        f"What a method finds are segments without names; these get their classes by their mean colour, as learnt from "
        f"{LEARNING} labelled training images, and everything is judged on others: 64 drawn blood smears of 192x192, "
        "every fifth of the 300 white blood cells at 128x128. int8: `quantseg quantize` with its default settings, "
        f"calibrated on {CALIBRATION} training images. IoU and Dice: over all pixels of the set, means over the "
        "classes; foreground: every class but the background as one. Time: median of one image, from the image (a "
        f"network: from the tensor made of it) to its class ids, over {given.rounds} rounds in which all take turns, "
        "with one session open at a time; networks and methods on one thread each. speed: the float model's time over "
        "its own, of the same rounds, and so to be trusted further than the milliseconds. Size: of the file, or of the "
        "colours learnt.",
        {
            **slide(results),
            **{TITLES[data]: whole(found) for data, found in results.items()},
            **{f"{TITLES[data]}: IoU of each class": classes(found) for data, found in results.items()},
        },
        ("scikit-image", "scipy"),
        notes=[told(results)],
    )
    figures = {data: {"network": found.network, **found.baselines.to_json()} for data, found in results.items()}
    writing.write("classical", page, {"data": figures})


Section = Mapping[str, tuple[Sequence[str], Sequence[tables.Row]]]


def slide(results: Mapping[str, Found]) -> Section:
    """The last slide: Otsu, watershed and the best method beside the int8 network, on each data set."""
    rows: list[tables.Row] = []
    for data, found in results.items():
        int8 = found.row(INT8)
        names = dict.fromkeys((*SLIDE, found.best.name, INT8))
        rows += [_slide_row(TITLES[data], found.row(name), int8) for name in names]
    headers = ("images", "system", "size", "mean IoU", "int8 is better by", "foreground IoU", "by", "an image")
    size = tables.megabytes(next(iter(results.values())).row(INT8).size)
    return {f"What a {size} int8 network buys over Otsu and watershed": (headers, rows)}


def _slide_row(title: str, row: Baseline, int8: Baseline) -> tables.Row:
    def gain(own: float | None, best: float | None) -> str | None:
        return None if row is int8 or own is None or best is None else f"{tables.points(best - own)} points"

    return (
        title,
        row.name,
        tables.file_size(row.size),
        tables.percent(row.mean_iou),
        gain(row.mean_iou, int8.mean_iou),
        tables.percent(row.foreground_iou),
        gain(row.foreground_iou, int8.foreground_iou),
        tables.milliseconds(row.median_ms),
    )


def whole(found: Found) -> tuple[Sequence[str], Sequence[tables.Row]]:
    """All systems on one data set."""
    headers = ("system", "mean IoU", "mean Dice", "foreground IoU", "foreground Dice", "an image", "speed", "size")
    return headers, [
        (
            f"{found.network}, {row.name}" if row.name in (FLOAT, INT8) else row.name,
            tables.percent(row.mean_iou),
            tables.percent(row.mean_dice),
            tables.percent(row.foreground_iou),
            tables.percent(row.foreground_dice),
            tables.milliseconds(row.median_ms),
            tables.ratio(row.ratio),
            tables.file_size(row.size),
        )
        for row in found.baselines.rows
    ]


def classes(found: Found) -> tuple[Sequence[str], Sequence[tables.Row]]:
    """The IoU of each class, a row for each system."""
    rows = [(row.name, *map(tables.percent, row.iou)) for row in found.baselines.rows]
    return ("system", *found.baselines.classes), rows


def told(results: Mapping[str, Found]) -> str:
    """What the tables say, in a sentence for each data set."""
    lines = []
    for data, found in results.items():
        int8, best = found.row(INT8), found.best
        gained = tables.points((int8.mean_iou or 0.0) - (best.mean_iou or 0.0))
        worst = min(range(len(int8.iou)), key=lambda k: best.iou[k] or 0.0)
        lines.append(
            f"- {TITLES[data]}: the best method, {best.name}, reaches {tables.percent(best.mean_iou)}; that of "
            f"the int8 network differs by {gained} points. On {found.baselines.classes[worst]} it is "
            f"{tables.percent(best.iou[worst])} beside {tables.percent(int8.iou[worst])}."
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
