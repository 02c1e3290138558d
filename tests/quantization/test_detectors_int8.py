"""Detectors through calibration, rounding and writing: they find what float finds, and have the same bytes twice."""

import functools

import numpy as np
import pytest

from quantseg import graph
from quantseg.calibration.calibrate import calibrate
from quantseg.calibration.choosing import Choice
from quantseg.calibration.context import Context
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.writing import written
from quantseg.refinement.bias import correct_biases
from quantseg.refinement.rounding.compensated import compensate
from quantseg.refinement.steps import order_channels
from tests.quantization.plan.test_detection import MAKERS, images, prepared
from tests.support.candidates import float_model
from tests.support.models import run

DENSE = ("raw", "anchors", "table", "queries")
"""Those whose outputs have one row for each anchor or query."""


@functools.cache
def refined(name: str) -> Candidate:
    model, context = float_model(prepared(MAKERS[name]())), Context(images(), threads=1)
    made = Candidate.of(model, calibrate(model, Choice(), context).table, QuantSettings())
    for step in (order_channels, compensate, correct_biases):
        made = step(made, context)
    return made


@pytest.mark.parametrize("qformat", ["qdq", "qoperator"])
@pytest.mark.parametrize("name", DENSE)
def test_each_kind_of_channels_is_near_float(name: str, qformat: str) -> None:
    int8, real = graph.to_bytes(written(refined(name), qformat).model), MAKERS[name]()
    feeds = images().feeds("images")
    for feed in feeds:
        for own, other in zip(run(int8, feed), run(real, feed), strict=True):
            assert own.shape == other.shape
    spread = 0.0
    for own, other in zip(run(int8, feeds[0]), run(real, feeds[0]), strict=True):
        kinds = (slice(0, 4), slice(4, 7), slice(7, None)) if other.shape[1] == 15 else (slice(None),)
        for kind in kinds:
            noise = float(np.square(own[:, kind] - other[:, kind]).mean())
            spread = max(spread, noise / float(np.var(other[:, kind])))
    assert spread < 0.05


@pytest.mark.parametrize("name", ["top", "nms", "mask_rcnn"])
def test_detections_are_those_of_float_and_none_where_nothing_is(name: str) -> None:
    int8, real = graph.to_bytes(written(refined(name)).model), MAKERS[name]()
    for feed in images().feeds("images"):
        own, other = run(int8, feed), run(real, feed)
        if not feed["images"].any() and name != "top":
            assert [len(one) for one in own] == [0] * len(own)
            continue
        boxes, expected = (found[0].reshape(-1, found[0].shape[-1])[:, :4] for found in (own, other))
        assert abs(len(boxes) - len(expected)) <= 2
        nearest = np.abs(boxes[:, None] - expected[None]).max(axis=2).min(axis=0)
        assert (nearest < 4).mean() > 0.6, "pixels"


def test_twice_the_same_bytes() -> None:
    again = refined.__wrapped__("mask_rcnn")
    assert graph.to_bytes(written(again).model) == graph.to_bytes(written(refined("mask_rcnn")).model)
