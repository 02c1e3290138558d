"""quantseg simulate: bit-exact integer simulation, comparison with a runtime, and the overflow proof."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console
from quantseg.cli.options import Data, FollowLinks, Force, Json, Limit, Model, Threads, Timeout, with_recipe
from quantseg.files.limits import RUN_SECONDS

if TYPE_CHECKING:
    from quantseg.quantization.float_model import RecipeSource

DIFFERS = 1
"""Exit code if tensors differ, as that of cmp and diff."""


@with_recipe
def simulate(
    model: Model,
    data: Data,
    source: "RecipeSource",
    against: Annotated[
        str | None,
        typer.Option(
            help="onnxruntime, a run that was saved with -o, or another quantised model (.onnx).", show_default=False
        ),
    ] = None,
    rounding: Annotated[
        str,
        typer.Option(help="Of sums: onnxruntime, onnxruntime-channels-last, gemmlowp, half-away, half-even or exact."),
    ] = "onnxruntime",
    processor: Annotated[
        str | None,
        typer.Option(
            help="Whose kernels: exact (VNNI, AMX), avx2, sse, neon or wasm; beside onnxruntime this machine's.",
            show_default=False,
        ),
    ] = None,
    proof: Annotated[
        bool, typer.Option("--proof/--no-proof", help="Also the sums: seen, possible, and those of pairs in 16 bits.")
    ] = True,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Save every tensor of every image here (.npz).")
    ] = None,
    limit: Limit = None,
    threads: Threads = None,
    timeout: Timeout = RUN_SECONDS,
    follow_links: FollowLinks = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List every product, not the ten widest.")] = False,
    force: Force = False,
    json: Json = None,
) -> None:
    """Simulate a quantised model in integers, operator by operator, and show where a runtime computes otherwise.

    --against compares every tensor bit for bit and names the first node that differs; exit code 1 if integers differ.
    --processor avx2 adds pairs of products in 16 bits, which saturate, as on x86 processors without VNNI.
    """
    from quantseg import api
    from quantseg.cli import simulated
    from quantseg.cli.outputs import Outputs
    from quantseg.refinement.options import Options
    from quantseg.runtimes.provenance import provenance
    from quantseg.simulation.simulating import Simulating

    other = None if against in (None, "onnxruntime") else Path(against)
    outputs = Outputs("simulate", (model, other), (data,), force)
    outputs.check(json, output)
    options = Options(
        limit=limit, follow_links=follow_links, threads=threads or 0, timeout=timeout, track=console.track
    )
    mark = "" if output is None else outputs.origin.comment()
    how = Simulating(against, rounding, processor, proof, output, mark)
    result = api.simulate(model, data, recipe=source, options=options, **vars(how))
    simulated.show_processor(result, found=processor is None)
    simulated.show(result, verbose=verbose)
    if output is not None:
        console.written(output)
    if json is not None:
        content = {
            "rounding": rounding,
            "processor": result.processor.name,
            "against": against if against in (None, "onnxruntime") else Path(against).name,
            "images": list(result.images),
            "products": [sums.to_json() for sums in result.found.sums.values()],
            "comparison": None if against is None else result.found.judgement.to_json(),
            "machine": provenance().to_json(),
        }
        outputs.json(json, content)
    if not result.is_exact:
        raise typer.Exit(DIFFERS)
