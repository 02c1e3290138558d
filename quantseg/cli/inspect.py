"""quantseg inspect: which nodes the runtime executes for a model."""

from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import Force, Json, Model, Threads, Timeout, with_recipe
from quantseg.files.limits import RUN_SECONDS

if TYPE_CHECKING:
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.runtimes.execution import ExecutedNode


@with_recipe
def inspect(
    model: Model,
    source: "RecipeSource",
    threads: Threads = None,
    timeout: Timeout = RUN_SECONDS,
    runs: Annotated[int, typer.Option(min=1, help="Profiled runs.")] = 10,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every executed node.")] = False,
    convolutions: Annotated[
        bool, typer.Option("--convolutions", help="List the convolutions: shape, speed, part of the roof.")
    ] = False,
    mobile: Annotated[
        bool, typer.Option("--mobile", help="Also tell how much of it NNAPI and CoreML would take on phones.")
    ] = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Profile a model in onnxruntime; list which nodes run in int8, which in float, and which were added.

    The last line compares the convolutions with the roof, the speed of this machine's fastest matrix product.
    """
    from quantseg import api
    from quantseg.cli import exactness
    from quantseg.cli.outputs import Outputs
    from quantseg.refinement.options import Options
    from quantseg.report import roofline as words
    from quantseg.report import tables
    from quantseg.runtimes.mobile import mobile_fits

    outputs = Outputs("inspect", (model,), force=force)
    outputs.check(json)
    found = api.inspect(model, recipe=source, runs=runs, options=Options(threads=threads or 0, timeout=timeout))
    nodes, roofs, total = found.nodes, found.roofs, found.summary
    kinds = [(kind, t.nodes, tables.percent(t.share)) for kind, t in total.kinds.items() if t.nodes]
    console.say(tables.terminal(("runs in", "nodes", "time"), kinds) + "\n")
    shown = nodes if verbose else tuple(n for n in nodes if n.kind == "float")
    if shown and verbose:
        rows = [(n.name, n.op_type, n.kind, tables.percent(n.share)) for n in shown]
        console.say(tables.terminal(("node", "operator", "runs in", "time"), rows) + "\n")
    elif shown:
        console.say(tables.terminal(("float operator", "nodes", "time"), _by_operator(shown)) + "\n")
    if convolutions and (slowest := words.slowest(nodes, roofs)):
        console.say(tables.terminal(words.HEADERS, slowest) + "\n")
    console.say(
        f"{total.quantize_nodes} QuantizeLinear, {total.dequantize_nodes} DequantizeLinear, "
        f"{total.transpose_nodes} Transpose, {total.float_conv_transposes} float ConvTranspose"
    )
    console.say(words.sentence(nodes, roofs))
    sums = exactness.say(model)
    fits = mobile_fits(model) if mobile else ()
    for fit in fits:
        console.line(fit.sentence)
    if json is not None:
        content = found.to_json()
        first = {"summary": content["summary"], "roofs": content["roofs"], "integer_sums": sums}
        first |= {"mobile": [fit.to_json() for fit in fits]} if mobile else {}
        outputs.json(json, first | content)


def _by_operator(nodes: "tuple[ExecutedNode, ...]") -> list[tuple[str, int, str]]:
    from quantseg.report import tables

    groups: dict[str, list[float]] = {}
    for node in nodes:
        groups.setdefault(node.op_type, []).append(node.share)
    ordered = sorted(groups.items(), key=lambda item: (-sum(item[1]), item[0]))
    return [(op_type, len(shares), tables.percent(sum(shares))) for op_type, shares in ordered]
