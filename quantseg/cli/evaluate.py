"""quantseg evaluate: accuracy against labels, agreement with the float model."""

from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import Data, Json, Limit, Masks, Model, Threads, with_recipe

if TYPE_CHECKING:
    from quantseg.evaluation.agreement import Evaluation
    from quantseg.evaluation.metrics.scores import Scores
    from quantseg.quantization.float_model import RecipeSource


@with_recipe
def evaluate(
    model: Model,
    data: Data,
    source: "RecipeSource",
    reference: Annotated[Path | None, typer.Option(help="The float model, to agree with.", show_default=False)] = None,
    masks: Masks = True,
    limit: Limit = None,
    threads: Threads = None,
    json: Json = None,
) -> None:
    """mIoU, IoU and Dice of each class, precision, recall, boundary IoU; with --reference also agreement and SQNR."""
    from dataclasses import asdict

    from quantseg import graph
    from quantseg.cli import exactness
    from quantseg.data import open_dataset
    from quantseg.data.heads import head_of, judged_outputs
    from quantseg.data.recipe import complete, image_input
    from quantseg.evaluation import agreement as evaluation
    from quantseg.evaluation.predictions import Taken
    from quantseg.files import check_writable, write_json
    from quantseg.quantization import folding
    from quantseg.quantization.float_model import resolve_recipe
    from quantseg.runtimes import DEFAULT
    from quantseg.runtimes.threads import default_threads

    if json is not None:
        check_writable(json, taken=(model, reference))
    loaded = graph.load(model)
    recipe = resolve_recipe(loaded, str(model), source)
    spec = image_input(graph.signature(loaded)[0], recipe.input)
    images = open_dataset(data, recipe, inputs=spec, limit=limit, masks=masks)
    runtime, count = DEFAULT, threads or default_threads()
    with closing(runtime.open(model, threads=count, spinning=False)) as session:
        if reference is None:
            scores = evaluation.evaluate_one(session, images, recipe, track=console.track)
            names = head_of(recipe.output).class_names(recipe.output.classes, len(scores.per_class["iou"]))
            _show_scores(scores, names)
            seen = judged_outputs(recipe, session.outputs)
            result = asdict(scores) | {"output": seen.to_json()}
        else:
            inputs, outputs = graph.signature(graph.load(reference))
            own = folding.float_recipe(loaded.metadata_props, recipe, source=str(model))
            shared = complete(recipe if own is None else own, inputs, outputs, model=str(reference))
            folded, shown = None, images
            if own is not None:
                folded = Taken(images, recipe, spec)
                spec = image_input(inputs, shared.input)
                shown = open_dataset(data, shared, inputs=spec, limit=limit, masks=masks)
            with closing(runtime.open(reference, threads=count, spinning=False)) as other:
                both = evaluation.evaluate(other, session, shown, shared, folded=folded, track=console.track)
            _show_evaluation(both)
            seen, result = both.judged, both.to_json()
    if seen.note:
        console.say(seen.note)
    sums = exactness.say(loaded)
    if json is not None:
        write_json(json, result | {"integer_sums": sums})
        console.written(json)


def _show_scores(scores: "Scores", classes: tuple[str, ...]) -> None:
    from quantseg.report import tables

    console.say(
        tables.terminal(("figure", "value"), [(tables.title(k), tables.percent(v)) for k, v in scores.summary.items()])
    )
    keys = tuple(scores.per_class)
    rows = [(name, *(tables.percent(scores.per_class[key][k]) for key in keys)) for k, name in enumerate(classes)]
    console.say("\n" + tables.terminal(("class", *(tables.title(key) for key in keys)), rows))


def _show_evaluation(result: "Evaluation") -> None:
    from quantseg.report import tables

    if result.int8_scores is not None:
        _show_scores(result.int8_scores, result.classes)
        console.say()
    rows = [
        ("agreement with the float masks (mean IoU)", tables.percent(result.agreement)),
        ("equal pixels", tables.percent(result.pixel_agreement)),
        ("output SQNR", tables.decibels(result.sqnr_db)),
    ]
    if result.float_scores is not None and result.int8_scores is not None:
        rows.insert(0, ("mean IoU of the float model", tables.percent(result.float_scores.mean_iou)))
    console.say(tables.terminal(("beside the float model", "value"), rows))
