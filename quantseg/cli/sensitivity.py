"""quantseg sensitivity: the loss of each node quantised alone, and the gain of each node left float alone."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from quantseg.cli import console, stages
from quantseg.cli.data_words import EXPLAINED, MEASURED, limits
from quantseg.cli.options import Calib, Force, Json, JudgedData, Model, with_making, with_recipe
from quantseg.errors import printable

if TYPE_CHECKING:
    from quantseg.calibration.calibrate import Calibrated
    from quantseg.mixed_precision.error_sources import ErrorSources
    from quantseg.mixed_precision.sensitivity import Loss, NodeSensitivity, Sensitivity
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options


@with_recipe
@with_making
def sensitivity(
    model: Model,
    data: JudgedData,
    source: "RecipeSource",
    options: "Options",
    calib: Calib = None,
    calib_limit: Annotated[
        int | None, typer.Option(min=1, help="Calibrate on at most so many. Default: --limit, else all.")
    ] = None,
    images: Annotated[int | None, typer.Option(min=1, hidden=True)] = None,
    top: Annotated[int, typer.Option(min=1, help="Show so many nodes, the most harmful; --json has all.")] = 20,
    left_float: Annotated[
        bool, typer.Option("--left-float/--no-left-float", help="Also the whole plan without each node.")
    ] = True,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="Instead, tell which tensors, channels and weights carry the error of the masks, and why. "
            "Measures on at most 4 images.",
        ),
    ] = False,
    figure: Annotated[Path | None, typer.Option(help="Also draw the table here, as SVG.", metavar="SVG")] = None,
    force: Force = False,
    json: Json = None,
) -> None:
    """Rank the nodes by sensitivity: each quantised alone (weights, activations, both), and each alone left float.

    Compared with the float model's output: SQNR in dB, and the share of pixels whose class changes. Needs no labels.
    Without --limit, at most 16 images are measured on. With --explain the tables tell of tensors, of their channels and
    of weights instead, and how the error grows along the graph.
    """
    from dataclasses import replace

    from quantseg import api
    from quantseg.cli.outputs import Outputs
    from quantseg.mixed_precision.error_sources import ErrorSources
    from quantseg.report import tables

    most, most_calibrated = limits(options.limit, calib_limit, images, most=EXPLAINED if explain else MEASURED)
    outputs = Outputs("sensitivity", (model,), (data, calib), force)
    outputs.check(figure, json)
    _check(figure, explain=explain)
    measuring = (stages.EACH_TENSOR,) if explain else (stages.FLOAT, stages.ALONE)
    stages.plan(*stages.making(options, refine=options.effort is not None, place=False), *measuring)
    loaded = api.load(model, source, data=data, options=options)
    judged = replace(options, limit=most).images(data)(loaded.recipe, loaded.inputs)
    options = replace(options, limit=most_calibrated)
    given = api.calibrate(loaded, calib or data, options=options)
    calibrated_on = () if given.images is None else given.images.names
    measured: Sensitivity | ErrorSources
    if explain:
        measured = api.error_sources(loaded, judged, calib=given, options=options)
        _explained(measured, top)
    else:
        measured = api.sensitivity(loaded, judged, calib=given, left_float=left_float, options=options)
        console.say(tables.terminal(_HEADERS, _rows(measured, top)))
        console.say(_summary(measured, top, len(calibrated_on)))
    outputs.json(json, _made_from(given, options, judged.names) | measured.to_json())
    if figure is not None and not isinstance(measured, ErrorSources):
        from quantseg.report.figures.sensitivity import sensitivity as drawn
        from quantseg.report.rendering import svg_file

        outputs.figure(figure, svg_file(drawn(measured, top=top)))


def _check(figure: Path | None, *, explain: bool) -> None:
    """Refuses a figure that cannot be drawn, before any work."""
    from quantseg.errors import OutputError

    if figure is not None and figure.suffix.lower() != ".svg":
        raise OutputError(f"{figure}: figures are drawn as SVG; give a name that ends in .svg")
    if explain and figure is not None:
        raise OutputError("--figure draws the table of nodes, which --explain does not make; leave one of them out")


def _made_from(given: "Calibrated", options: "Options", measured_on: Sequence[str]) -> dict[str, Any]:
    """What the figures depend on, as JSON values."""
    return {
        "float_sha256": given.model.digest,
        "recipe": given.model.identity,
        "settings": options.settings.to_json(),
        "calibrator": given.calibration.table.calibrator,
        "calibrated_on": [] if given.images is None else list(given.images.names),
        "measured_on": list(measured_on),
    }


_ROOM = 44
"""The width of a node's name and operator, beside the numbers of a line."""

_HEADERS = ("node", "op", "MACs", "W", "A", "W+A", "flips", "gain", "flips")


def _explained(found: "ErrorSources", top: int) -> None:
    import textwrap

    from quantseg.report import error_sources, tables

    for heading, headers, rows in error_sources.sections(found, top=top):
        console.say(f"{heading}\n{tables.terminal(headers, rows)}\n")
    note = (found.judged.note,) if found.judged.note else ()
    for line in (f"{found.images} images", *note, error_sources.KEY):
        console.say(textwrap.fill(printable(line), tables.WIDTH))


def _rows(measured: "Sensitivity", top: int) -> list[tuple[str, ...]]:
    from quantseg.report import tables

    nodes = measured.ranked()
    width = _ROOM - max(len(node.op_type) for node in nodes[:top])
    names = tables.telling([node.node for node in nodes], width)[:top]
    return [(name, *_row(measured, node)) for name, node in zip(names, nodes[:top], strict=True)]


def _row(measured: "Sensitivity", node: "NodeSensitivity") -> tuple[str, ...]:
    gain, left = measured.gain_db(node), node.left_float
    return (
        node.op_type,
        f"{100 * measured.share(node):.1f}",
        *(_decibels(loss) for loss in (node.weights, node.activations, node.alone)),
        _percent(node.alone.flipped),
        _signed(gain, 1),
        _signed(None if left is None else 100 * (left.flipped - measured.whole.flipped), 2),
    )


def _summary(measured: "Sensitivity", top: int, calibrated: int) -> str:
    rest = max(0, len(measured.nodes) - top)
    whole = measured.whole
    return (
        f"\n{f'… and {rest} more nodes; ' if rest else ''}{measured.images} images, {calibrated} to calibrate\n"
        f"the whole plan: {_decibels(whole)} dB, {_percent(whole.flipped)} % of the pixels flip\n"
        f"{f'{printable(measured.judged.note)}{chr(10)}' if measured.judged.note else ''}"
        "MACs: share in %. W, A, W+A: SQNR in dB with weights, activations or both of that node alone in\n"
        "integers; flips: pixels in % whose class is then another. gain: SQNR in dB that the whole plan gains\n"
        "where the node stays float; flips: how those of the whole plan change then, in points"
    )


def _decibels(loss: "Loss | None") -> str:
    from quantseg.report import tables

    return tables.decibels(None if loss is None else loss.sqnr_db).removesuffix(" dB")


def _percent(share: float) -> str:
    """A share of pixels in per cent with two decimals; a share above 0 never rounds to 0.00."""
    return "<0.01" if 0 < share < 0.00005 else f"{100 * share:.2f}"


def _signed(value: float | None, digits: int) -> str:
    from quantseg.report import tables

    if value is None:
        return tables.NOTHING
    shown = "∞" if math.isinf(value) else f"{abs(value):.{digits}f}"
    sign = "" if value == 0 or shown.strip("0.") == "" else "+" if value > 0 else "−"
    return f"{sign}{shown}"
