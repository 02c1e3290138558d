"""quantseg evaluate: accuracy against labels, and agreement with the float model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import Data, FollowLinks, Force, Json, Limit, Masks, Model, Threads, Timeout, with_recipe
from quantseg.files.limits import RUN_SECONDS

if TYPE_CHECKING:
    from quantseg.evaluation.agreement import Evaluation
    from quantseg.evaluation.instances import InstanceEvaluation
    from quantseg.evaluation.metrics.scores import Scores
    from quantseg.quantization.float_model import RecipeSource


@with_recipe
def evaluate(
    model: Model,
    data: Data,
    source: "RecipeSource",
    reference: Annotated[Path | None, typer.Option(help="The float model, to agree with.", show_default=False)] = None,
    at_least: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=100,
            help="With --reference: exit code 3 if the masks agree less than that, in percent (mean IoU).",
            show_default=False,
        ),
    ] = None,
    masks: Masks = True,
    limit: Limit = None,
    threads: Threads = None,
    timeout: Timeout = RUN_SECONDS,
    follow_links: FollowLinks = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """mIoU, IoU and Dice of each class, precision, recall, boundary IoU; with --reference also agreement and SQNR."""
    from dataclasses import asdict

    from quantseg import api
    from quantseg.cli import exactness
    from quantseg.cli.outputs import Outputs
    from quantseg.errors import RecipeError
    from quantseg.evaluation.model_files import ModelWithRecipe, scores_of
    from quantseg.refinement.options import Options

    if at_least is not None and reference is None:
        raise RecipeError("--at-least: compares with the float model's masks; name that model with --reference")
    outputs = Outputs("evaluate", (model, reference), (data,), force)
    outputs.check(json)
    options = Options(
        limit=limit,
        masks=masks,
        follow_links=follow_links,
        threads=threads or 0,
        timeout=timeout,
        track=console.track,
    )
    if reference is None:
        one = ModelWithRecipe.read(model, source)
        scores, names, seen = scores_of(one, options.judging(data), options.context())
        _show_scores(scores, names)
        result = asdict(scores) | {"output": seen.to_json()}
    else:
        both = api.evaluate(reference, model, data, recipe=source, options=options)
        _show_evaluation(both)
        seen, result = both.judged, both.to_json()
    if seen.note:
        console.line(seen.note)
    sums = exactness.say(model)
    outputs.json(json, result | {"integer_sums": sums})
    if at_least is not None and reference is not None:
        _check_agreement(model, both, at_least)


def _check_agreement(model: Path, found: "Evaluation", at_least: float) -> None:
    from quantseg.errors import BudgetError

    if not 100 * found.agreement >= at_least:  # NaN is refused too
        raise BudgetError(
            f"{model}: its masks agree with the float model's to {100 * found.agreement:.2f} %, less than --at-least "
            f"{at_least:g}; quantise with --effort best, or see in quantseg report where they differ"
        )


def _show_scores(scores: "Scores", classes: tuple[str, ...]) -> None:
    from quantseg.report import tables

    console.say(
        tables.terminal(("figure", "value"), [(tables.title(k), tables.percent(v)) for k, v in scores.summary.items()])
    )
    keys = tuple(scores.per_class)
    rows = [(name, *(tables.percent(scores.per_class[key][k]) for key in keys)) for k, name in enumerate(classes)]
    console.say("\n" + tables.terminal(("class", *(tables.title(key) for key in keys)), rows))


def _show_evaluation(result: "Evaluation") -> None:
    from quantseg.evaluation.instances import without_precision
    from quantseg.report import tables

    if result.int8_scores is not None:
        _show_scores(without_precision(result.int8_scores), result.classes)
        console.say()
    rows = [
        ("agreement with the float masks (mean IoU)", tables.percent(result.agreement)),
        ("equal pixels", tables.percent(result.pixel_agreement)),
        ("output SQNR", tables.decibels(result.sqnr_db)),
    ]
    if result.float_scores is not None and result.int8_scores is not None:
        rows.insert(0, ("mean IoU of the float model", tables.percent(result.float_scores.mean_iou)))
    console.say(tables.terminal(("beside the float model", "value"), rows))
    if result.instances is not None:
        _show_instances(result, result.instances)


def _show_instances(result: "Evaluation", found: "InstanceEvaluation") -> None:
    from quantseg.evaluation.metrics.instances.precision import SUMMARY
    from quantseg.report import tables
    from quantseg.report.sections.instances import MATCHED, counted

    rows = [(name, *counted(one)) for name, one in zip(result.classes, found.per_class, strict=True)]
    if len(rows) > 1:
        rows.insert(0, ("all", *counted(found.total)))
    console.say("\n" + tables.terminal(("instances", *MATCHED), rows))
    if "ap" in result.between.summary:
        known = {"float": result.float_scores, "int8": result.int8_scores, "int8 with float": result.between}
        shown = {name: one.summary for name, one in known.items() if one is not None and "ap" in one.summary}
        figures = [(tables.title(key), *(tables.percent(one[key]) for one in shown.values())) for key in SUMMARY]
        console.say("\n" + tables.terminal(("masks of instances", *shown), figures))
    if found.note:
        console.line(found.note)
