"""quantseg compare: the tool comparison with onnxruntime's quantizer, NNCF and the float model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quantseg.cli import console, stages
from quantseg.cli.data_words import judging
from quantseg.cli.options import Calib, Force, Json, JudgedData, Masks, Model, with_making, with_recipe

if TYPE_CHECKING:
    from quantseg.evaluation.tool_comparison import ComparedModel
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options


@with_recipe
@with_making
def compare(
    model: Model,
    data: JudgedData,
    source: "RecipeSource",
    options: "Options",
    calib: Calib = None,
    validation: Annotated[Path | None, typer.Option("--val", hidden=True)] = None,
    masks: Masks = True,
    openvino: Annotated[
        bool, typer.Option("--openvino", help="Also in OpenVINO, an extra: float, this tool's QDQ model, NNCF's.")
    ] = False,
    web: Annotated[bool, typer.Option("--web", help="Also in onnxruntime-web, as browsers run them.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of timing; models take turns in each.")] = 5,
    force: Force = False,
    json: Json = None,
) -> None:
    """Quantise as quantize does and with onnxruntime's quantizer; compare masks, speed and size with float.

    Both calibrate with min/max unless --calibrator names another; onnxruntime's quantizer has no mse and then uses
    min/max. --openvino adds NNCF, with its own calibration. --web (see quantseg web) computes masks and times there,
    too. Speed-ups are relative to float in onnxruntime.
    """
    from dataclasses import replace

    from quantseg import api
    from quantseg.cli.outputs import Outputs
    from quantseg.runtimes.provenance import provenance
    from quantseg.runtimes.threads import default_threads

    judged, calibrated = judging(data, calib, validation)
    outputs = Outputs("compare", (model,), (judged, calibrated), force)
    outputs.check(json)
    stages.plan(*stages.making(options), stages.PEER, *stages.MEASURE[:-2])
    loaded = api.load(model, source, data=judged, options=options)
    given = api.calibrate(loaded, calibrated, options=options)
    images = replace(options, masks=masks).judging(judged)
    results = api.compare(loaded, images, calib=given, options=options, rounds=rounds, openvino=openvino, web=web)
    _show(results)
    used = ("onnxruntime", "openvino", "nncf") if openvino else ("onnxruntime",)
    machine = provenance(*used)
    versions = ", ".join(f"{package} {machine.packages[package]}" for package in used)
    counts = len(given.calibration.observations.images), len(images(loaded.recipe, loaded.inputs).names)
    console.say(
        f"\n{counts[0]} images to calibrate, {counts[1]} to compare; {machine.processor}; "
        f"{options.threads or default_threads()} threads\n{versions}\n"
        "agrees (mean IoU), SQNR, speed: beside float in onnxruntime; time: median; int8: share of the time"
    )
    outputs.json(json, {"compared": [c.to_json() for c in results], "machine": machine.to_json()})


def _show(results: "tuple[ComparedModel, ...]") -> None:
    import textwrap

    from quantseg.cli.exactness import say_verdict
    from quantseg.report import tables

    rows: list[tables.Row] = []
    failures = []
    for c in results:
        if c.failed or c.evaluation is None or c.timing is None or c.executed is None:
            rows.append((c.name, c.runtime, *[None] * 7))
            failures.append(f"{c.name} in {c.runtime} failed: {c.failed}")
            continue
        scores = c.evaluation.int8_scores
        rows.append(
            (
                c.name,
                c.runtime,
                tables.percent(c.evaluation.agreement),
                tables.decibels(c.evaluation.sqnr_db),
                tables.percent(scores.mean_iou if scores else None),
                tables.megabytes(c.timing.file_bytes),
                tables.milliseconds(c.timing.median_ms),
                tables.ratio(c.timing.ratio),
                tables.percent(c.executed.kinds["int8"].share),
            )
        )
    headers = ("model", "runtime", "agrees", "SQNR", "mIoU", "size", "time", "speed", "int8")
    console.say(tables.terminal(headers, rows))
    _show_instances(results)
    for note in dict.fromkeys(c.evaluation.judged.note for c in results if c.evaluation is not None):
        if note:
            console.line(note)
    for note in dict.fromkeys(e.instances.note for c in results if (e := c.evaluation) and e.instances):
        if note:
            console.line(note)
    for failure in failures:
        console.say(textwrap.fill(failure, tables.WIDTH))
    for c in {c.name: c for c in results if c.sums is not None}.values():
        assert c.sums is not None
        say_verdict(c.sums, c.name)


def _show_instances(results: "tuple[ComparedModel, ...]") -> None:
    """A second table, of models of instances."""
    from quantseg.evaluation.instances import ap_of
    from quantseg.evaluation.metrics.instances import LOOSE, TIGHT
    from quantseg.report import tables

    rows = list[tables.Row]()
    for c in results:
        if c.evaluation is None or c.evaluation.instances is None:
            continue
        total, ap = c.evaluation.instances.total, ap_of(c.evaluation.int8_scores)
        shares = (tables.percent(share) for share in (total.kept(LOOSE), total.kept(TIGHT), ap))
        rows.append((c.name, c.runtime, total.candidate, total.lost, total.gained, *shares))
    if rows:
        headers = ("model", "runtime", "instances", "lost", "gained", "kept", f"kept at {TIGHT}", "AP")
        console.say("\n" + tables.terminal(headers, rows))
