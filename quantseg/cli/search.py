"""quantseg search: the fastest mixed-precision model within an accuracy budget."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import DATA_WORD, Force, Json, Model, with_making, with_recipe

if TYPE_CHECKING:
    from quantseg.mixed_precision.budget import Point
    from quantseg.mixed_precision.budget.search import Found
    from quantseg.mixed_precision.budget.task import SearchTask
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options
    from quantseg.runtimes import Runtime

_BUDGET_PANEL = "Budget"


@with_recipe
@with_making
def search(
    model: Model,
    data: Annotated[
        Path,
        typer.Option(help=f"{DATA_WORD} of images that the masks are judged on.", metavar="DATA", show_default=False),
    ],
    source: "RecipeSource",
    options: "Options",
    calibration: Annotated[
        Path | None,
        typer.Option(
            "--calib",
            help=f"{DATA_WORD} of images to calibrate on. Default: every other one of --data, not judged then.",
            metavar="DATA",
            show_default=False,
        ),
    ] = None,
    max_iou_drop: Annotated[
        float, typer.Option(help="Points of mIoU that may be lost.", rich_help_panel=_BUDGET_PANEL)
    ] = 0.5,
    max_class_drop: Annotated[
        list[str] | None,
        typer.Option(
            help="CLASS=POINTS of a class's own IoU: pedestrian=1.0. May be given for several.",
            metavar="CLASS=POINTS",
            rich_help_panel=_BUDGET_PANEL,
            show_default=False,
        ),
    ] = None,
    labels: Annotated[
        bool,
        typer.Option(
            "--labels",
            help="Judge by the masks beside the images, not by the float model's.",
            rich_help_panel=_BUDGET_PANEL,
        ),
    ] = False,
    evaluations: Annotated[
        int, typer.Option(min=1, max=1000, help="At most so many models are judged.", rich_help_panel=_BUDGET_PANEL)
    ] = 12,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.search.int8.onnx beside the model.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Also draw the points that were judged, as SVG.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every node of the plan.")] = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Write the mixed-precision model with the most int8 whose accuracy loss stays within the budget.

    Nodes with the most loss for their cost stay float; which ones, is decided by evaluating at most --evaluations
    models. If no model is within the budget, the closest to it is written, and the exit code is 3. Equal inputs give
    equal bytes, except with --target ort-cpu, where latencies on this machine decide.
    """
    from quantseg import api
    from quantseg.api import stages
    from quantseg.cli import exactness, plans
    from quantseg.cli import stages as told
    from quantseg.cli.outputs import Outputs
    from quantseg.errors import BudgetError
    from quantseg.mixed_precision.budget.task import SearchGoal

    written_to = output or model.with_suffix(".search.int8.onnx")
    outputs = Outputs("search", (model,), (data, calibration), force)
    outputs.check_model(written_to)
    outputs.check(json, figure, taken=[written_to])
    goal = SearchGoal(max_iou_drop, max_class_drop or (), labels, evaluations)
    task = stages.search_task(
        api.load(model, source, data=data, options=options), data, goal, options, calib=calibration
    )
    _announce(task, options)
    told.plan(*told.making(options), told.SEARCH)
    found = stages.searched(task, options)
    made = found.model
    assert made is not None
    _show(found)
    plans.show(made, verbose)
    sums = exactness.say(made.model)
    console.written(made.save(written_to))
    if figure is not None:
        outputs.figure(figure, _drawn(found))
    outputs.json(json, found.to_json() | {"plan": made.to_json(), "integer_sums": sums})
    if not found.is_met:
        raise BudgetError(_missed(found, written_to))


def _drawn(found: "Found") -> str:
    """The evaluated models as SVG."""
    from quantseg.mixed_precision.budget import weighing
    from quantseg.report.figures.pareto import pareto
    from quantseg.report.rendering import svg_file

    walked, timed = found.walk, found.unit == weighing.TIME
    return svg_file(pareto(walked.points, walked.best, found.evaluated_on.budget, found.front, timed=timed))


def _announce(task: "SearchTask", options: "Options") -> None:
    truth = "their labels" if task.goal.labels else "the float model's masks"
    calibrated, judged, count = task.calibrating, task.judged, len(task.judged.names)
    console.say(f"{len(calibrated.names)} images to calibrate on, {count} to judge on, against {truth}")
    ours, theirs = ({data.digest(index) for index in range(len(data.names))} for data in (judged, calibrated))
    if both := len(ours & theirs):
        console.say(f"note: {both} of them are calibrated on and judged as well, so their masks may flatter the model")
    console.say(_choice(options.context().runtime))
    evaluations, seconds = task.goal.evaluations, task.seconds
    console.say(f"at most {evaluations} evaluations of {count} images, about {_duration(count * seconds)} each\n")


def _choice(runtime: "Runtime") -> str:
    """Text: the types that a node may compute in, and those for which the runtime has no kernel."""
    from quantseg.mixed_precision.budget import PRECISIONS, candidates

    chosen = candidates(runtime)
    lacking = " or ".join(precision.name for precision in PRECISIONS if precision not in chosen)
    without = f"; {runtime.name} has no convolution with {lacking} activations" if lacking else ""
    return f"each node in {' or '.join(precision.name for precision in chosen)}{without}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{max(1.0, seconds):.0f} s"


def _show(found: "Found") -> None:
    from quantseg.mixed_precision.budget import weighing
    from quantseg.report import tables

    budget = found.evaluated_on.budget
    classes = tuple(budget.classes)
    timed = found.unit == weighing.TIME
    rows: list[tables.Row] = [
        (
            len(point.float_nodes),
            tables.percent(point.int8_share),
            *([tables.milliseconds(point.cost)] if timed else []),
            _points(point.drop),
            *(_points(point.class_drops[name]) for name in classes),
            tables.percent(point.agreement),
            tables.decibels(point.sqnr_db),
            "yes" if budget.holds(point) else "no",
            _standing(point, found),
        )
        for point in sorted(found.walk.points, key=lambda p: (p.cost, len(p.float_nodes), sorted(p.float_nodes)))
    ]
    headers = (
        "left float",
        "in int8",
        *(["time"] if timed else []),
        "mIoU lost",
        *classes,
        "agrees",
        "SQNR",
        "in budget",
        "",
    )
    console.say(tables.terminal(headers, rows))
    console.say("left float: nodes, by the search; in int8: of the multiply-accumulates; lost: points of IoU\n")
    if found.judged.note:
        console.line(found.judged.note)
    best = found.result
    if found.is_met:
        console.say(
            f"within the budget: the masks lose {_points(best.drop)} points of mIoU, {budget.mean:g} are allowed\n"
            f"{tables.percent(best.int8_share)} of the multiply-accumulates in int8, "
            f"{found.evaluations} of at most {found.limit} evaluations"
        )


def _standing(point: "Point", found: "Found") -> str:
    if point is found.walk.best:
        return "chosen"
    return "Pareto" if point in found.front else ""


def _points(value: float) -> str:
    shown = f"{abs(value):.2f}"
    return f"−{shown}" if value < 0 and shown != "0.00" else shown


def _missed(found: "Found", target: Path) -> str:
    loss = found.evaluated_on.budget.tightest(found.result)
    more = ", or give more --evaluations" if found.evaluations == found.limit else ""
    return (
        f"no model within the budget in {found.evaluations} evaluations: the best, {target}, loses "
        f"{_points(loss.points)} points of {loss.what}, {loss.allowed:g} are allowed; allow more{more}"
    )
