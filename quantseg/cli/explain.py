"""quantseg explain: the calculation of one output value of a quantised model, step by step."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import DATA_WORD, FollowLinks, Force, Json, Model, with_recipe

if TYPE_CHECKING:
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.simulation.explaining import Working

TERMS = 10
"""How many terms of a sum are listed."""


@with_recipe
def explain(
    model: Model,
    node: Annotated[str, typer.Argument(help="A node's name, or that of a tensor it makes.", show_default=False)],
    source: "RecipeSource",
    data: Annotated[
        Path | None,
        typer.Option(
            help=f"{DATA_WORD} whose first image is taken. Default: noise.", metavar="DATA", show_default=False
        ),
    ] = None,
    at: Annotated[
        str | None, typer.Option(help="The value's place, as 0,5,12,30. Default: the largest that does not saturate.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="The float model, to stand beside.", show_default=False)
    ] = None,
    rounding: Annotated[
        str, typer.Option(help="onnxruntime (default), gemmlowp, half-away, half-even, exact.")
    ] = "onnxruntime",
    follow_links: FollowLinks = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Show how one output value is computed: integers, products, sum, bias, multiplier, shift, clamp, real value."""
    from quantseg import api
    from quantseg.cli.outputs import Outputs
    from quantseg.simulation import finding
    from quantseg.simulation.explaining.explanation import Explaining

    outputs = Outputs("explain", (model, reference), (data,), force)
    outputs.check(json)
    how = Explaining(None if at is None else finding.place_of(at), reference, rounding, follow_links)
    found = api.explain(model, node, data=data, recipe=source, **vars(how))
    working = found.working
    console.say(
        f"node {found.node!r}: {found.stands_for}, computed as {found.op_type}\n"
        f"value {list(found.place)} of {found.tensor!r}, {list(found.shape)}\n\n{working.formula}"
    )
    console.say("\n".join(f"  {name} = {value:.9g}" for name, value in working.scales))
    _show(working, rounding)
    if found.float_value is not None:
        there = "" if found.float_place == found.place else f", at {list(found.float_place or ())}: reordered"
        console.say(f"  the float model has      {found.float_value:.6g}{there}")
    outputs.json(json, found.to_json())


def _show(w: "Working", rounding: str) -> None:
    from quantseg.report import tables

    if w.terms:
        ranked = sorted(w.terms, key=lambda term: -abs(term.value))[:TERMS]
        shown = [term for term in w.terms if term in ranked][:TERMS]
        rows: list[tables.Row] = [(t.where, t.stored, t.left, t.right, t.value) for t in shown]
        left_out = len(w.terms) - len(shown)
        if left_out:
            rows.append(
                (
                    f"{left_out} smaller terms",
                    None,
                    None,
                    None,
                    sum(t.value for t in w.terms) - sum(r.value for r in shown),
                )
            )
        console.say("\n" + tables.terminal(("term", "stored q", "q − Z", "factor", "product"), rows))
    console.say()
    whole = isinstance(w.total, int)
    lines = [("sum", f"{w.total:,}" if whole else f"{w.total:.6g}")]
    if w.bias is not None:
        lines += [("bias", f"{w.bias:,}"), ("accumulator", f"{w.accumulator:,}")]
    lines.append(("times M", f"{w.multiplier:.9g} → {w.scaled:.6f}"))
    if w.fixed is not None:
        lines.append(("M in fixed point", f"{w.fixed} · 2^−31 · 2^−{w.shift}".replace("2^−-", "2^")))
    lines += [
        (f"rounded ({rounding})", str(w.rounded)),
        ("plus Z_y", f"{w.rounded} + {w.zero_point} = {w.rounded + w.zero_point}"),
        (f"held in {w.qmin}…{w.qmax}", str(w.result)),
        ("real value", f"S_y ({w.result} − {w.zero_point}) = {w.real:.6g}"),
        ("in real arithmetic", f"{w.exact:.6g}, {w.steps_off:+.3f} steps off".replace("+-", "−")),
    ]
    console.say("\n".join(f"  {what:<24} {text}" for what, text in lines))
