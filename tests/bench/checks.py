"""`quantseg check` on wrong preprocessing, on purpose: which mistakes it names, and what it says of right recipes.

    python -m tests.bench.checks [MODEL …]

On all reference models, and on the models and images in ../shared, which are not part of this project.
"""

import json
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from quantseg.calibration.context import Context
from quantseg.data import open_samples
from quantseg.data.images import IMAGE_SUFFIXES
from quantseg.errors import QuantSegError
from quantseg.evaluation.checking import trials
from quantseg.evaluation.checking.check import CheckedPlaces, check
from quantseg.evaluation.checking.early_layers import Moments, observed
from quantseg.evaluation.checking.values import Check
from quantseg.evaluation.reference_models import data_of, reference_models
from quantseg.quantization.float_model import RecipeSource
from quantseg.runtimes import DEFAULT, Runtime, Session
from tests.bench import writing
from tests.bench.shared_models import RECIPES

COUNT = 12
"""Images of each set, evenly spread, as copies."""
TRUTH = {
    "deeplab_v3_mbv2_voc": ("coco", "sub_7", "argmax", 21),
    "road_segmentation_adas_0001": ("streets", "data", "argmax", 4),
    "sinet_portrait": ("coco", "data", "argmax", 2),
    "ppocr_mobile_v2_det": ("streets", "x", "threshold", 2),
}
"""Shared model → images of its kind, and what a check has to understand: input, head, number of classes."""
CLASSES = {"camvid": 11, "wbc": 3, "cells": 4}
MOST_KEPT = 8_000_000
"""Bytes of outputs of one run that are kept."""
NAMED, ANOTHER, SILENT = "named", "another warning", "silent"


class Remembering:
    """A runtime that runs a model on an input once: mistakes in masks and splits ask for the same runs again."""

    def __init__(self) -> None:
        self.name, self.version, self.activation_types = DEFAULT.name, DEFAULT.version, DEFAULT.activation_types
        self.executed, self.known = DEFAULT.executed, dict[tuple[object, ...], list[Any]]()
        self.moments: dict[tuple[object, ...], Mapping[str, Moments]] = {}

    def open(self, model: Path | bytes, *, threads: int, spinning: bool = True) -> "Remembered":
        """As DEFAULT does, later."""
        content = model if isinstance(model, bytes) else model.read_bytes()
        return Remembered(self, content, lambda: DEFAULT.open(model, threads=threads, spinning=spinning))


@dataclass
class Remembered:
    """A session that is opened when something new is asked for."""

    runtime: Remembering
    content: bytes
    opened: Callable[[], Session]
    session: Session | None = None

    def run(self, feeds: Mapping[str, Any], outputs: Sequence[str] | None = None) -> list[Any]:
        """As Session does."""
        arrays = [(name, array.shape, hash(array.tobytes())) for name, array in feeds.items()]
        key = (hash(self.content), *arrays, *(outputs or ()))
        found = self.runtime.known.get(key)
        if found is None:
            self.session = self.session or self.opened()
            found = self.session.run(feeds, outputs)
            if sum(array.nbytes for array in found) < MOST_KEPT:
                self.runtime.known[key] = found
        return found

    def close(self) -> None:
        """Frees the session."""
        if self.session is not None:
            self.session.close()


def remembered(session: Any, names: Sequence[str], feeds: Iterable[Mapping[str, Any]]) -> Mapping[str, Moments]:
    """`observed`, which is asked for the same moments again."""
    given = list(feeds)
    inputs = [hash(array.tobytes()) for feed in given for array in feed.values()]
    key = (hash(session.content), *names, *inputs)
    if key not in session.runtime.moments:
        session.runtime.moments[key] = observed(session, names, given)
    return session.runtime.moments[key]


@dataclass(frozen=True)
class Images:
    """A set of images as files. masks: the folder of their masks; None without. other: masks of another set."""

    images: Path
    masks: Path | None
    other: Path
    one_class: Path
    shifted: Path | None
    both: Path


@dataclass(frozen=True)
class Case:
    """A mistake. names: of the findings that name it. made: what is given in place of the right flags, data, masks."""

    title: str
    names: tuple[str, ...]
    made: Callable[["Subject"], "Given | None"]


@dataclass(frozen=True)
class Subject:
    """A model with its right recipe. own: whether the masks of its images are of its classes."""

    name: str
    path: Path
    file: Path | None
    runtime: Remembering
    right: Check
    images: Images
    other_images: Path


@dataclass(frozen=True)
class Given:
    """What a check is given beside the model. flags: that override the recipe."""

    data: Path
    masks: Path | None = None
    calib: Path | None = None
    flags: Mapping[str, Any] = field(default_factory=dict)


def flagged(make: Callable[[Check], Mapping[str, Any] | None]) -> Callable[[Subject], Given | None]:
    """A mistake in the recipe."""

    def made(subject: Subject) -> Given | None:
        flags = make(subject.right)
        return None if flags is None else Given(subject.images.images, flags=flags)

    return made


def without_mean_and_std(right: Check) -> Mapping[str, Any] | None:
    """None for a model whose recipe has neither."""
    given = right.recipe.input
    plain = not any(given.mean) and all(one == 1 for one in given.std)
    return None if plain else {"mean": (0.0,), "std": (1.0,)}


def one_more(right: Check) -> Mapping[str, Any]:
    """A height and a width that are one too large."""
    height, width = right.recipe.input.size or (0, 0)
    return {"size": (height + 1, width + 1)}


def as_arrays(subject: Subject) -> Given:
    """The images as arrays of the other layout."""
    given = subject.right.recipe.input
    height, width = given.size or (0, 0)
    shape = (1, height, width, 3) if given.layout == "NCHW" else (1, 3, height, width)
    folder = subject.images.images.parent / f"arrays_{subject.name}"
    folder.mkdir(exist_ok=True)
    np.save(folder / "0.npy", np.zeros(shape, np.float32))
    return Given(folder)


CASES = (
    Case(
        "channel order",
        ("channel-order",),
        flagged(lambda one: {"channels": "BGR" if one.recipe.input.channels == "RGB" else "RGB"}),
    ),
    Case("scale by 255, too large", ("scale",), flagged(lambda one: {"scale": one.recipe.input.scale * 255})),
    Case("scale by 255, too small", ("scale",), flagged(lambda one: {"scale": one.recipe.input.scale / 255})),
    Case("mean and std left out", ("mean-and-std",), flagged(without_mean_and_std)),
    Case(
        "NHWC for NCHW, recipe",
        ("layout",),
        flagged(lambda one: {"layout": "NHWC" if one.recipe.input.layout == "NCHW" else "NCHW"}),
    ),
    Case("NHWC for NCHW, arrays", ("layout",), as_arrays),
    Case("size off by one", ("size",), flagged(one_more)),
    Case(
        "masks of another set",
        ("masks-of-another-set",),
        lambda one: Given(one.images.images, masks=one.images.other),
    ),
    Case(
        "masks of other images of the set",
        ("masks-of-another-set",),
        lambda one: None if one.images.shifted is None else Given(one.images.images, masks=one.images.shifted),
    ),
    Case(
        "one class in all masks",
        ("one-class-masks",),
        lambda one: Given(one.images.images, masks=one.images.one_class),
    ),
    Case("both splits together", ("splits",), lambda one: Given(one.images.both)),
    Case(
        "both splits: calibrated on what is judged",
        ("splits",),
        lambda one: Given(one.images.images, calib=one.images.both),
    ),
)
RIGHT = (
    Case("right recipe", (), lambda one: Given(one.images.images)),
    Case("right recipe, photographs of another kind", (), lambda one: Given(one.other_images)),
)


def checked(path: Path, file: Path | None, given: Given, runtime: Runtime | None = None) -> Check:
    """One check. runtime: None is a new one."""
    places = CheckedPlaces(given.data, given.masks, given.calib)
    context = Context(runtime=Remembering() if runtime is None else runtime, threads=1)  # type: ignore[arg-type]
    return check(path, RecipeSource(file, given.flags), places, context)


def outcome(case: Case, subject: Subject) -> tuple[str, list[str]] | None:
    """Whether a mistake is named, and all names that the check gives; None where it cannot be made with this model.

    Findings that the right recipe has too do not count.
    """
    given = case.made(subject)
    if given is None:
        return None
    try:
        names = list(checked(subject.path, subject.file, given, subject.runtime).names())
    except QuantSegError as error:
        names = [f"error: {error}"]
    if any(name in case.names for name in names):
        return NAMED, names
    if case in RIGHT:
        return (ANOTHER if names else SILENT), names
    return (ANOTHER if set(names) - set(subject.right.names()) else SILENT), names


def images_in(folder: Path) -> dict[str, Images]:
    """Copies of some images of each set, with right and wrong masks."""
    data = writing.SHARED / "data"
    sets = {
        "roads": open_samples(data / "camvid" / "val", limit=COUNT),
        "wbc": open_samples(data / "wbc", limit=COUNT),
        "cells": open_samples(f"cells:{COUNT}#3000000"),
    }
    ids = {name: [samples.read(k)[1] for k in range(len(samples))] for name, samples in sets.items()}
    pixels = {name: [samples.read(k)[0] for k in range(len(samples))] for name, samples in sets.items()}
    photographs = [path for path in sorted((data / "coco10").rglob("*")) if path.suffix in IMAGE_SUFFIXES]
    pixels["coco"] = [np.asarray(Image.open(path).convert("RGB")) for path in photographs]
    pixels["streets"] = pixels["roads"]
    others = {"roads": "wbc", "wbc": "roads", "cells": "roads", "coco": "roads", "streets": "wbc"}
    return {name: _written(folder / name, pixels[name], ids.get(name), ids[others[name]]) for name in pixels}


def _written(folder: Path, pixels: list[Any], ids: list[Any] | None, others: list[Any]) -> Images:
    def save(where: str, arrays: list[Any]) -> Path:
        (folder / where).mkdir(parents=True)
        for number, array in enumerate(arrays):
            Image.fromarray(np.asarray(array, np.uint8)).save(folder / where / f"{number:02d}.png")
        return folder / where

    def sized(array: Any, like: Any) -> Any:
        return np.asarray(
            Image.fromarray(np.asarray(array, np.uint8)).resize(like.shape[1::-1], Image.Resampling.NEAREST)
        )

    count = len(pixels)
    images = save("images", pixels)
    half = count // 2
    save("both/train/images", pixels[:half])
    save("both/val/images", pixels[half:])
    return Images(
        images,
        None if ids is None else save("masks", ids),
        save("other", [sized(others[k % len(others)], pixels[k]) for k in range(count)]),
        save("one_class", [np.zeros(one.shape[:2]) for one in pixels]),
        None if ids is None else save("shifted", [sized(ids[(k + 1) % count], pixels[k]) for k in range(count)]),
        folder / "both",
    )


def models() -> Mapping[str, tuple[Path, Path | None, str, tuple[str, str, int]]]:
    """Model → its file, its recipe where it holds none, its images, and the true input, head and number of classes."""
    found: dict[str, tuple[Path, Path | None, str, tuple[str, str, int]]] = {}
    for name, path in reference_models().items():
        kind = str(data_of(path))
        found[name] = (path, None, {"camvid": "roads"}.get(kind, kind), ("image", "argmax", CLASSES[kind]))
    for name, (kind, *truth) in TRUTH.items():
        path, recipe = writing.SHARED / "models" / f"{name}.onnx", RECIPES / f"{name}.toml"
        found[name] = (path, recipe, kind, (str(truth[0]), str(truth[1]), int(truth[2])))
    return found


def measured(name: str, sets: Mapping[str, Images]) -> dict[str, Any]:
    """All mistakes with one model."""
    path, file, kind, truth = models()[name]
    runtime = Remembering()
    began = time.process_time()
    right = checked(path, file, Given(sets[kind].images), runtime)
    seconds = time.process_time() - began
    plain = right if file is None else checked(path, None, Given(sets[kind].images), runtime)
    understood = all((one.image, one.recipe.output.head, one.classes) == truth for one in (right, plain))
    other = sets["coco" if kind != "coco" else "streets"].images
    subject = Subject(name, path, file, runtime, right, sets[kind], other)
    outcomes = {case.title: outcome(case, subject) for case in (*CASES, *RIGHT)}
    outcomes[RIGHT[0].title] = (ANOTHER if right.names() else SILENT, list(right.names()))
    return {"seconds": seconds, "understood": understood, "outcomes": outcomes}


def main() -> None:
    """Measures model after model, and writes the report after each."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="Only these; of the others the last figures stay in the report.")
    named = parser.parse_args().models
    wanted = named or list(models())
    last = writing.FOLDER / "checks.json"
    table: dict[str, Any] = json.loads(last.read_text(encoding="utf-8"))["models"] if named and last.exists() else {}
    trials.observed = remembered
    with tempfile.TemporaryDirectory() as folder:
        sets = images_in(Path(folder))
        for name in wanted:
            table[name] = measured(name, sets)
            _write(table)


def _write(table: Mapping[str, Any]) -> None:
    def of(title: str) -> list[Any]:
        return [one["outcomes"][title] for one in table.values()]

    counts = []
    for case in CASES:
        seen = Counter("–" if one is None else one[0] for one in of(case.title))
        counts.append((case.title, seen[NAMED], seen[ANOTHER], seen[SILENT], seen["–"]))
    alarms = [(case.title, sum(one[0] != SILENT for one in of(case.title)), len(table)) for case in RIGHT]
    each = [(name, *_of_model(one["outcomes"])) for name, one in sorted(table.items())]
    seconds = sorted(one["seconds"] for one in table.values())
    understood = sum(one["understood"] for one in table.values())
    page = writing.Page(
        "What `quantseg check` says of wrong preprocessing",
        f"Each mistake is made on purpose with each of {len(table)} models, of {len(models())} that there are; "
        f"{COUNT} images of each set (10 photographs). named: a "
        "finding has the mistake's name. another warning: only others are found that the right recipe does not have. "
        "silent: none. –: the mistake cannot be made with that model (no mean and std in its recipe, no masks of its "
        "own). Of the shared models the images are of their kind, the masks of no class of theirs. The thresholds were "
        "set on these models. "
        f"Input, head and number of classes are the true ones for {understood} of {len(table)} models (the shared ones "
        "with their recipe, and without any). A check of the right recipe took "
        f"{seconds[len(seconds) // 2]:.1f} s of processor time in the median, {seconds[-1]:.1f} s at most.",
        {
            "Mistakes": (("mistake", NAMED, ANOTHER, SILENT, "–"), counts),
            "False alarms": (("recipe and images", "models with a warning", "models"), alarms),
            "Each model": (("model", "named", "another warning", "silent", "warnings on right recipes"), each),
        },
    )
    writing.write("checks", page, {"models": table})


def _of_model(outcomes: Mapping[str, Any]) -> tuple[str, ...]:
    """How many mistakes are named, which are not, and what is said of right recipes."""

    def of(kind: str) -> list[str]:
        return [case.title for case in CASES if (got := outcomes[case.title]) is not None and got[0] == kind]

    made = sum(outcomes[case.title] is not None for case in CASES)
    alarms = [f"{case.title}: {name}" for case in RIGHT for name in outcomes[case.title][1]]
    listed = ("; ".join(found) or "–" for found in (of(ANOTHER), of(SILENT), alarms))
    return (f"{len(of(NAMED))} of {made}", *listed)


if __name__ == "__main__":
    main()
