"""A small report with something in every part, for the tests of quantseg.report."""

from dataclasses import replace

import numpy as np

from quantseg.calibration.histogram import Histogram
from quantseg.data.heads import JudgedOutputs
from quantseg.evaluation.agreement import Evaluation, ImageResult
from quantseg.evaluation.classical import CLASSICAL, Baseline, Baselines
from quantseg.evaluation.instances import ImageInstances, InstanceEvaluation, with_precision
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.evaluation.metrics.instances.counts import MatchCounts
from quantseg.evaluation.metrics.instances.precision import PER_CLASS, SUMMARY, AveragePrecision
from quantseg.evaluation.metrics.scores import Scores, tally
from quantseg.evaluation.predictions import Comparison, Prediction
from quantseg.quantization.affine import Range, params_from_range
from quantseg.quantization.qtypes import UINT8
from quantseg.report import FLOAT, INT8, PEER, ModelFile, Peer, PlanSummary, Report, image, worst_ranges
from quantseg.report.plan import KeptGroup
from quantseg.runtimes.execution import ExecutedNode, summary
from quantseg.runtimes.latency import Timing
from quantseg.runtimes.products import Product
from quantseg.runtimes.roofline import Roof, Roofs

CLASSES = ("background", "cell", "<script>alert(1)</script>")


def comparison(name="a.png"):
    rng = np.random.default_rng(3)
    truth, real, int8 = rng.integers(0, 2, (3, 1, 20, 30))
    photograph = rng.integers(0, 256, (20, 30, 3), np.uint8)
    output = np.zeros((1, 3, 20, 30), np.float32)
    return Comparison(
        Prediction(name, photograph, truth, real, (output,), 3),
        Prediction(name, photograph, truth, int8, (output,), 3),
    )


def scores(seed):
    rng = np.random.default_rng(seed)
    return Scores.of(tally(rng.integers(0, 2, (2, 16, 16)), rng.integers(0, 2, (2, 16, 16)), 3, None))


def evaluation(labelled=True):
    return Evaluation(
        images=3,
        classes=CLASSES,
        float_scores=scores(1) if labelled else None,
        int8_scores=scores(2) if labelled else None,
        between=scores(3),
        pixel_agreement=0.97,
        sqnr_db=24.04,
        identical=False,
        per_image=tuple(ImageResult(f"{k}.png", 0.5 + k / 10, 0.01 * k) for k in (2, 0, 1)),
        judged=JudgedOutputs(("y",), ()),
    )


def executed(*spent):
    total = sum(seconds for _, _, seconds in spent)
    return summary(ExecutedNode(op, op, "", kind, s, s / total) for op, kind, s in spent)


def convolution(name, kind, seconds, share, product):
    return ExecutedNode(name, "QLinearConv" if kind == "int8" else "Conv", "", kind, seconds, share, product)


ROOFS = Roofs(Roof("int8", 1.25e12, (1024, 1024, 1024)), Roof("float", 1.5e11, (512, 512, 512)))
CONVOLUTIONS = {
    FLOAT: (convolution("c0_nchwc", "float", 0.04, 0.8, Product(4_000_000_000, (16, 32), (3, 3), 1, (1, 64, 64))),),
    INT8: (
        convolution("c0_token_3", "int8", 0.012, 0.6, Product(4_000_000_000, (16, 32), (3, 3), 1, (1, 64, 64))),
        convolution("<b>$x^{$", "int8", 0.003, 0.15, Product(2_000_000, (32, 32), (5, 5), 32, (2, 4, 8))),
        convolution("c2", "float", 0.001, 0.05, None),
        *(
            convolution(
                f"/a/rather/long/name/of/a/node/c{k}", "int8", 2e-5, 1e-3, Product(3, (1, 1), (1, 1), 1, (1, 3))
            )
            for k in range(3, 25)
        ),
    ),
}


def baselines():
    """Both networks and every method, on masks that differ from the labels in more and more pixels."""
    truth = np.random.default_rng(4).integers(0, 2, (40, 40))
    rows = []
    for k, name in enumerate((FLOAT, INT8, *CLASSICAL)):
        found = truth.copy()
        found[: 2 * k] = 1 - found[: 2 * k]
        counts = ConfusionMatrix.from_masks(truth, found, 3)
        row = Baseline.of(name, counts, 4_000_000 // (k + 1) ** 6)
        rows.append(replace(row, median_ms=50.0 / (k + 1), ratio=k + 1.0))
    return Baselines(CLASSES, 4, 12, tuple(rows), unseen=(CLASSES[2],))


def report(**changes):
    rng = np.random.default_rng(0)
    histograms = {
        "/encoder/Conv_output_0": Histogram.of(rng.normal(size=5000).astype(np.float32)),
        "/decoder/" + "very_long_name/" * 12 + "Concat": Histogram.of(rng.gamma(2, 2, 5000).astype(np.float32)),
    }
    grids = {name: params_from_range(Range(0.5 * h.minimum, 0.5 * h.maximum), UINT8) for name, h in histograms.items()}
    content = {
        "name": "cells & <b>friends</b>",
        "float_model": ModelFile("cells.onnx", 4_000_000, "ab" * 32),
        "int8_model": ModelFile("cells.int8.onnx", 1_000_000, "cd" * 32),
        "plan": PlanSummary(
            settings={"activation": "uint8", "per_channel": True, "exclude": []},
            lowered={"fold_batch_norm": 18},
            quantised={"Conv": 20, "MaxPool": 4},
            kept=(
                KeptGroup("Resize: cubic mode overshoots", {"Resize": 9}, tuple(f"/up/Resize_{k}" for k in range(9))),
            ),
            notes=("/decoder/Concat_1: inputs requantised",),
        ),
        "evaluation": evaluation(),
        "latency": (
            Timing(FLOAT, 50.0, 48.0, 49.0, 55.0, 1.0, 4_000_000, 200_000_000),
            Timing(INT8, 20.0, 19.0, 19.5, 22.0, 2.5, 1_000_000, None),
            Timing(PEER, 25.0, 24.0, 24.5, 26.0, 2.0, 1_000_000, None),
        ),
        "executed": {
            FLOAT: executed(("Conv", "float", 0.04), ("ReorderInput", "movement", 0.01)),
            INT8: executed(("QLinearConv", "int8", 0.016), ("ConvTranspose", "float", 0.004)),
        },
        "convolutions": CONVOLUTIONS,
        "roofs": ROOFS,
        "ranges": worst_ranges(histograms, grids, 5),
        "images": (image(comparison(), CLASSES, None),),
        "provenance": {"onnxruntime": "1.31.1"},
        "commands": ("quantseg report cells.onnx --data val/",),
        "baselines": baselines(),
    }
    return Report(**{**content, **changes})


def instance_report():
    """A report of a model of instances."""
    rng = np.random.default_rng(5)
    counts = tuple(MatchCounts(9 + k, 8 + k, tuple(rng.uniform(0.5, 1, 7 + k))) for k in range(3))
    found = evaluation()
    figures = (
        AveragePrecision({key: rng.random() for key in SUMMARY}, {key: tuple(rng.random(3)) for key in PER_CLASS})
        for _ in range(3)
    )
    sides = (found.float_scores, found.int8_scores, found.between)
    real, int8, between = (with_precision(*pair) for pair in zip(sides, figures, strict=True))
    judged = InstanceEvaluation(counts, (ImageInstances("0.png", counts),))
    return report(evaluation=replace(found, float_scores=real, int8_scores=int8, between=between, instances=judged))


def bare_report():
    """A report of a model without labels, of which nothing was timed."""
    nothing = {
        "latency": (),
        "executed": {},
        "convolutions": {},
        "roofs": None,
        "ranges": (),
        "images": (),
        "baselines": None,
    }
    return report(evaluation=evaluation(labelled=False), provenance={}, **nothing)


def peer_report(**changes):
    """A report whose model stands beside the one that onnxruntime's quantizer made."""
    nodes = {PEER: executed(("QLinearConv", "int8", 0.02), ("ConvTranspose", "float", 0.005))}
    peer = Peer(PEER, ModelFile("cells.onnxruntime.onnx", 1_100_000, "ef" * 32), evaluation())
    return report(**{"peers": (peer,), "executed": {**report().executed, **nodes}, "data": "cells", **changes})
