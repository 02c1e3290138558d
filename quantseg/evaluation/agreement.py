"""Agreement of the int8 model's masks with the float model's, and scores of both models against the labels.

One streaming pass: each image runs once through each model and is added to the counts. Agreement needs no labels.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from quantseg.calibration.context import Context
from quantseg.calibration.engines import in_order
from quantseg.data import Dataset
from quantseg.data.heads import JudgedOutputs, head_of, judged_outputs
from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.evaluation.counting import Counts, against_labels, mean_agreement
from quantseg.evaluation.instances import InstanceEvaluation, judged_alone, results, with_precision
from quantseg.evaluation.metrics.instances.precision import JudgedImage, average_precision, require_coco
from quantseg.evaluation.metrics.region import class_pixels
from quantseg.evaluation.metrics.scores import Scores, Tallies, added
from quantseg.evaluation.predictions import FoldedInput, compare, predict
from quantseg.progress import Track, quiet
from quantseg.runtimes import Runtime, Session, for_file


@dataclass(frozen=True)
class ImageResult:
    """One image. agreement: mean IoU of its int8 and float masks, 0…1. changed_pixels: share of pixels that differ."""

    name: str
    agreement: float
    changed_pixels: float


@dataclass(frozen=True)
class Evaluation:
    """The int8 model compared with the float model over a data set.

    images: their number. float_scores, int8_scores: each model against the labels, None without labels. between: the
    int8 masks against the float masks. pixel_agreement: share of equal pixels. sqnr_db: of the output tensors in dB,
    infinite where they are identical, None where they are class ids. identical: whether all outputs are. per_image: in
    the order of the data set. judged: which outputs of the float model are compared. class_shares: for each
    class the share of all pixels that hold it in the float and in the int8 masks; empty if not counted. instances: how
    they are matched, of heads that give instances, whose masks are the unions of each class's. Their AP and AR stand in
    the scores: of each model against the labels and, in `between`, of int8 with float's instances as the truth.
    """

    images: int
    classes: tuple[str, ...]
    float_scores: Scores | None
    int8_scores: Scores | None
    between: Scores
    pixel_agreement: float
    sqnr_db: float | None
    identical: bool
    per_image: tuple[ImageResult, ...]
    judged: JudgedOutputs
    class_shares: tuple[tuple[float, float], ...] = ()
    instances: InstanceEvaluation | None = None

    @property
    def agreement(self) -> float:
        """Mean IoU of the int8 masks with the float masks, over all pixels of the set."""
        return mean_agreement(self.between)

    def worst(self, count: int) -> tuple[ImageResult, ...]:
        """The `count` images with the lowest agreement, the worst first."""
        return tuple(sorted(self.per_image, key=lambda image: (image.agreement, image.name))[:count])

    def __str__(self) -> str:
        sqnr = "" if self.sqnr_db is None else f", SQNR {self.sqnr_db:.1f} dB"
        lines = [
            f"Evaluation on {self.images} images: agreement {100 * self.agreement:.2f} % (mean IoU)",
            f"  {100 * self.pixel_agreement:.2f} % of the pixels equal{sqnr}",
        ]
        scores = [score and score.mean_iou for score in (self.float_scores, self.int8_scores)]
        if None not in scores:
            before, after = (100 * float(score or 0) for score in scores)
            lines.append(f"  mean IoU against the labels: float {before:.2f} %, int8 {after:.2f} %")
        if self.instances is not None:
            lines += [f"  {line}" for line in self.instances.lines(self.float_scores, self.int8_scores)]
        if self.judged.note:
            lines.append(f"  {self.judged.note}")
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Values for JSON. sqnr_db is null where it is infinite (then `identical` is true) or not defined."""
        finite = self.sqnr_db is not None and math.isfinite(self.sqnr_db)
        values = asdict(self)
        del values["judged"], values["instances"]
        if self.instances is not None:
            values["instances"] = self.instances.to_json(self.classes)
        return {
            **values,
            "output": self.judged.to_json(),
            "agreement": self.agreement,
            "sqnr_db": self.sqnr_db if finite else None,
        }


def evaluate(
    reference: Session,
    candidate: Session,
    dataset: Dataset,
    recipe: Recipe,
    *,
    folded: FoldedInput | None = None,
    track: Track = quiet,
) -> Evaluation:
    """Compares the open int8 model `candidate` with the open float model `reference` on every item.

    recipe: a completed one. folded: the candidate's own inputs and recipe, if preprocessing or head were folded into
    it. Raises DataError for an empty data set or labels that do not fit, ModelError for outputs that are not finite or
    differ in shape.
    """
    step = _Step((reference, candidate), dataset, recipe, folded)
    return _collected((step(index) for index in range(len(dataset.names))), step, track)


@dataclass(frozen=True)
class Pair:
    """A float model (`reference`) and a quantised one (`candidate`), which each worker process opens for itself.

    runtimes: of reference and candidate. threads: of each session. folded: the candidate's own inputs and recipe, if
    preprocessing or head were folded into it.
    """

    reference: Path | bytes
    candidate: Path | bytes
    runtimes: tuple[Runtime, Runtime]
    threads: int
    folded: FoldedInput | None = None


def evaluate_pair(pair: Pair, dataset: Dataset, recipe: Recipe, context: Context) -> Evaluation:
    """As `evaluate`, in parallel on the context's engine. Raises ModelError also where a model does not load."""
    make_step = _Opening(pair, dataset, recipe)
    results = in_order(context.engine(make_step, range(len(dataset.names))))
    return _collected((part for part in results), _Step((), dataset, recipe, pair.folded), context.track)


@dataclass(frozen=True)
class _Opening:
    """Opens both models in a worker. Picklable."""

    pair: Pair
    dataset: Dataset
    recipe: Recipe

    def __call__(self) -> Callable[[int], "tuple[int, _Part]"]:
        pair, models = self.pair, (self.pair.reference, self.pair.candidate)
        sessions = tuple(
            for_file(runtime, model).open(model, threads=pair.threads, spinning=False)
            for runtime, model in zip(pair.runtimes, models, strict=True)
        )
        step = _Step(sessions, self.dataset, self.recipe, pair.folded)
        return lambda index: (index, step(index))


@dataclass(frozen=True)
class _Part:
    """What one image adds to the Evaluation."""

    result: ImageResult
    counts: "Counts"
    judged: JudgedOutputs


@dataclass(frozen=True)
class _Step:
    """Runs one item through both models and counts its pixels."""

    sessions: tuple[Session, ...]
    dataset: Dataset
    recipe: Recipe
    folded: FoldedInput | None

    def __call__(self, index: int) -> _Part:
        reference, candidate = self.sessions
        comparison = compare(reference, candidate, self.dataset, self.recipe, index, folded=self.folded)
        own = Counts.of(comparison, self.recipe)
        agreement = mean_agreement(Scores.of(own.between))
        result = ImageResult(comparison.reference.name, agreement, own.changed / own.pixels)
        return _Part(result, own, judged_outputs(self.recipe, reference.outputs))

    @property
    def is_numbers(self) -> bool:
        """Whether both models return real numbers of the same kind, so that an SQNR is defined."""
        recipe, folded = self.recipe, self.folded
        return head_of(recipe.output).gives_numbers and (folded is None or folded.recipe.output == recipe.output)


def _collected(parts: Iterable[_Part], step: _Step, track: Track) -> Evaluation:
    """Adds up the parts of all images, given in the order of the data set."""
    recipe, total = step.recipe, len(step.dataset.names)
    results, counts = list[ImageResult](), Counts()
    judged: JudgedOutputs | None = None
    for part in track(parts, total=total, what="evaluate"):
        results.append(part.result)
        counts, judged = counts + part.counts, part.judged
    if judged is None:
        raise DataError("no images to evaluate; give a folder that holds some")
    between = Scores.of(counts.between)
    head, sqnr = head_of(recipe.output), counts.sqnr
    found = Evaluation(
        images=total,
        classes=head.class_names(recipe.output.classes, len(between.per_class["iou"])),
        float_scores=Scores.of(counts.reference) if counts.reference else None,
        int8_scores=Scores.of(counts.candidate) if counts.candidate else None,
        between=between,
        pixel_agreement=1 - counts.changed / counts.pixels,
        sqnr_db=None if sqnr is None or not step.is_numbers else sqnr.decibels(),
        identical=sqnr is not None and sqnr.noise == 0,
        per_image=tuple(results),
        judged=judged,
        class_shares=tuple(
            (real / counts.pixels, int8 / counts.pixels) for real, int8 in class_pixels(counts.between["region"])
        ),
    )
    return _with_instances(found, counts) if counts.instances else found


def _with_instances(found: Evaluation, counts: Counts) -> Evaluation:
    """The evaluation with the figures of instances, as far as they can be known."""
    of = results(counts.instances, len(found.classes))
    return replace(
        found,
        float_scores=found.float_scores and with_precision(found.float_scores, of.reference),
        int8_scores=found.int8_scores and with_precision(found.int8_scores, of.candidate),
        between=with_precision(found.between, of.between),
        instances=of.evaluation,
    )


def evaluate_one(session: Session, dataset: Dataset, recipe: Recipe, *, track: Track = quiet) -> Scores:
    """Scores one model against the labels, its instances too. Raises DataError without labels.

    Raises also the errors of `evaluate`, and MissingExtraError for labelled instances without the extra.
    """
    total = len(dataset.names)
    tallies: Tallies = {}
    judged, classes = list[JudgedImage](), 0
    for index in track(range(total), total=total, what="evaluate"):
        seen = predict(session, dataset.load(index), recipe)
        tallies = added(tallies, against_labels(seen, seen.classes, recipe))
        if alone := judged_alone(seen):
            require_coco()
            judged, classes = [*judged, *alone], seen.classes
    if not tallies:
        raise DataError("no labels to compare with; add a masks/ folder or give the float model as reference=…")
    scores = Scores.of(tallies)
    return with_precision(scores, average_precision(judged, classes)) if judged else scores
