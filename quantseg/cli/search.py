"""quantseg search: the fastest model whose masks lose no more than allowed."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import DATA_WORD, Json, Model, with_options, with_recipe

if TYPE_CHECKING:
    from quantseg.data import Dataset
    from quantseg.mixed_precision.budget import Point
    from quantseg.mixed_precision.budget.search import Found
    from quantseg.pipeline import CalibrationOptions, FloatModel, RecipeSource

_BUDGET_PANEL = "Budget"


@with_recipe
@with_options
def search(
    model: Model,
    data: Annotated[
        Path,
        typer.Option(help=f"{DATA_WORD} of images that the masks are judged on.", metavar="DATA", show_default=False),
    ],
    source: "RecipeSource",
    options: "CalibrationOptions",
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
    effort: Annotated[
        str, typer.Option(help="What is done before the search: fast, balanced (default) or best.", show_default=False)
    ] = "balanced",
    evaluations: Annotated[
        int, typer.Option(min=1, max=1000, help="At most so many models are judged.", rich_help_panel=_BUDGET_PANEL)
    ] = 12,
    target: Annotated[
        str,
        typer.Option(
            help="portable (default): most of it in int8. openvino: as OpenVINO fuses it. ort-cpu: fastest in "
            "onnxruntime here.",
            show_default=False,
        ),
    ] = "portable",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Default: MODEL.int8.onnx beside the model.")
    ] = None,
    figure: Annotated[Path | None, typer.Option(help="Also draw the points that were judged, as SVG.")] = None,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every node of the plan.")] = False,
    json: Json = None,
) -> None:
    """Write the model with most of it in int8 whose masks lose no more than allowed.

    Nodes that harm the masks most for what they cost stay float. Which, is decided by judging real models, at most so
    many as --evaluations. Where no model holds the budget, the best is written, and the exit code is 3. Equal inputs
    give equal bytes, but with --target ort-cpu, where times of this machine decide.
    """
    from dataclasses import replace

    from quantseg import graph, pipeline
    from quantseg.cli import exactness, plans
    from quantseg.errors import BudgetError, PlanError
    from quantseg.files import check_writable, write_json, write_text
    from quantseg.mixed_precision import target as targets
    from quantseg.mixed_precision.budget import judging, read_budget, weighing
    from quantseg.mixed_precision.budget import search as searching
    from quantseg.refinement import levels as efforts

    efforts.check(effort)
    aim = targets.Aim(target)
    if target == targets.ORT_CPU and evaluations < 2:
        raise PlanError(f"--target {target} takes an evaluation for the model that is written; give --evaluations 2")
    written_to = output or model.with_suffix(".int8.onnx")
    taken: list[Path] = [model]
    for path in (written_to, json, figure):
        if path is not None:
            check_writable(path, taken=taken)
            taken.append(path)
    float_model = pipeline.read_float_model(model, source, fusing=aim.fusing)
    threads = options.threads or pipeline.default_threads()
    calibrated, judged = _images(float_model, data, calibration, options, labels)
    names, seconds = searching.rehearse(float_model, judged, labelled=labels, threads=threads)
    budget = read_budget(max_iou_drop, max_class_drop or (), names)
    _announce(calibrated, judged, evaluations, seconds, labels)
    bench = targets.bench(aim, options.threads, console.track)
    settings = options.settings
    done = pipeline.calibrate(float_model, calibrated, options, track=console.track)
    refined = efforts.refine(
        float_model, done, calibrated, options, effort=effort, leave_float=False, track=console.track
    )
    float_model, table = refined.model, refined.table
    subject = weighing.Subject(float_model, table, settings)
    shapes = targets.input_shapes(float_model)
    shares = weighing.work_shares(float_model.prepared, shapes)
    found = searching.search(
        subject,
        judging.Judge(judged, budget, labels),
        weighing.by_work(shares) if bench is None else weighing.by_time(subject, shapes, bench),
        shares,
        lambda: weighing.harms(subject, calibrated, threads=threads, track=console.track),
        evaluations=evaluations if bench is None else evaluations - 1,
        threads=threads,
        track=console.track,
    )
    job = targets.Job(replace(float_model, prepared=found.prepared), table, settings)
    if bench is None:
        made = job.portable("qdq")
    else:
        made = job.measured(bench, "measured")
        found = searching.confirmed(found, subject, made, shares, threads=threads, track=console.track)
    made = replace(made, plan=replace(made.plan, notes=(*refined.notes, *made.plan.notes)))
    _show(found)
    plans.show(made, verbose)
    sums = exactness.say(made.model)
    graph.save(made.model, written_to)
    console.written(written_to)
    if figure is not None:
        from quantseg.report.figures.pareto import pareto
        from quantseg.report.rendering import svg_file

        walked = found.walk
        drawn = pareto(walked.points, walked.best, budget, found.front, timed=bench is not None)
        write_text(figure, svg_file(drawn))
        console.written(figure)
    if json is not None:
        write_json(json, found.to_json() | {"plan": made.to_json(), "integer_sums": sums})
        console.written(json)
    if not found.is_met:
        raise BudgetError(_missed(found, written_to))


def _images(
    model: "FloatModel", data: Path, calibration: Path | None, options: "CalibrationOptions", labels: bool
) -> "tuple[Dataset, Dataset]":
    """Those to calibrate on and those to judge on."""
    from quantseg import pipeline
    from quantseg.mixed_precision.budget import search as searching

    limit = options.limit or searching.IMAGES
    if calibration is not None:
        judged = pipeline.open_data(data, model, limit=limit, masks=labels)
        return pipeline.open_data(calibration, model, limit=limit), judged
    return searching.halves(pipeline.open_data(data, model, limit=2 * limit, masks=labels))


def _announce(calibrated: "Dataset", judged: "Dataset", evaluations: int, seconds: float, labels: bool) -> None:
    truth = "their labels" if labels else "the float model's masks"
    count = len(judged.names)
    console.say(f"{len(calibrated.names)} images to calibrate on, {count} to judge on, against {truth}")
    ours, theirs = ({data.digest(index) for index in range(len(data.names))} for data in (judged, calibrated))
    if both := len(ours & theirs):
        console.say(f"note: {both} of them are calibrated on and judged as well, so their masks may flatter the model")
    console.say(_choice())
    console.say(f"at most {evaluations} evaluations of {count} images, about {_duration(count * seconds)} each\n")


def _choice() -> str:
    """What each node may compute in, and what the runtime has no kernel for."""
    from quantseg.mixed_precision.budget import PRECISIONS, candidates
    from quantseg.mixed_precision.budget.judging import RUNTIME

    chosen = candidates(RUNTIME)
    lacking = " or ".join(precision.name for precision in PRECISIONS if precision not in chosen)
    without = f"; {RUNTIME} has no convolution with {lacking} activations" if lacking else ""
    return f"each node in {' or '.join(precision.name for precision in chosen)}{without}"


def _duration(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 100 else f"{max(1.0, seconds):.0f} s"


def _show(found: "Found") -> None:
    from quantseg.mixed_precision.budget import weighing
    from quantseg.report import tables

    budget = found.judge.budget
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
        console.say(found.judged.note)
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
    loss = found.judge.budget.tightest(found.result)
    more = ", or give more --evaluations" if found.evaluations == found.limit else ""
    return (
        f"no model within the budget in {found.evaluations} evaluations: the best, {target}, loses "
        f"{_points(loss.points)} points of {loss.what}, {loss.allowed:g} are allowed; allow more{more}"
    )
