"""The weights of a linear Resize, applied in float64, give what onnxruntime's float Resize gives."""

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import assume, event, given, settings
from hypothesis import strategies as st

from quantseg.graph import infer_shapes
from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind, integer_form
from quantseg.quantization.operators.resampling import Blend, Interpolation, Matrix, interpolation, multiplications
from tests.support.graphs import Array, assert_same, graph, noise, run

MODES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def resize(before: tuple[int, int], mode: str, *, x: str = "", more: str = "", **given: Array) -> ir.Model:
    """A linear Resize by `s` (scales) or to `z` (sizes)."""
    sizes = ", s" if "s" in given else ", , z"
    body = f'y = Resize<mode="linear", coordinate_transformation_mode="{mode}"{more}>(x, {sizes})'
    model = graph(body, x=x or f"float[1,2,{before[0]},{before[1]}]", opset=18 if more else 13, **given)
    infer_shapes(model)
    return model


def apply(axis: Blend | Matrix, x: Array, place: int) -> Array:
    """The axis `place` of x resized as the form says."""
    if isinstance(axis, Matrix):
        return np.moveaxis(np.tensordot(axis.weights, x, (1, place)), 0, place)
    size = x.shape[place]
    wide = np.pad(x, [(int(k == place),) * 2 for k in range(x.ndim)], "edge")
    moved = {step: np.take(wide, np.arange(size) + 1 + step, place) for step in (-1, 1)}
    phases = [phase.own * x + (1 - phase.own) * moved[phase.step] for phase in axis.phases]
    return np.stack(phases, place + 1).reshape(*x.shape[:place], -1, *x.shape[place + 1 :])


def applied(form: Interpolation, x: Array) -> Array:
    columns = apply(form.columns, x.astype(np.float64), 3)
    return apply(form.rows, columns, 2).astype(np.float32)


pixels = st.integers(1, 9)


@settings(max_examples=100, deadline=None)
@given(
    st.tuples(pixels, pixels),
    st.sampled_from(MODES),
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.sampled_from(["whole scales", "whole sizes", "any sizes", "half scales"]),
)
def test_the_form_is_what_onnxruntime_computes(
    before: tuple[int, int], mode: str, numbers: tuple[int, int], how: str
) -> None:
    if how.endswith("scales"):
        factors = numbers if how.startswith("whole") else tuple(n / 2 + 0.5 for n in numbers)
        model = resize(before, mode, s=np.array([1, 1, *factors], np.float32))
    else:
        sizes = np.multiply(before, numbers) if how.startswith("whole") else numbers
        model = resize(before, mode, z=np.array([1, 2, *sizes]))
    form = interpolation(model.graph.node(0))
    assume(not (isinstance(form, str) and "multiplications" in form))  # 9 to 1 pixels take many
    assert isinstance(form, Interpolation)
    event(f"{type(form.rows).__name__} and {type(form.columns).__name__}")
    x = noise(1, 2, *before)
    assert_same([applied(form, x)], run(model, {"x": x}))


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("mode", ["half_pixel", "pytorch_half_pixel", "asymmetric"])
def test_whole_factors_are_weighted_sums(mode: str, factor: int) -> None:
    model = resize((6, 8), mode, s=np.array([1, 1, factor, factor], np.float32))
    form = interpolation(model.graph.node(0))
    assert isinstance(form, Interpolation)
    assert isinstance(form.rows, Blend)
    assert len(form.rows.phases) == len(form.columns.phases) == factor
    assert multiplications(form) == 0


def test_a_dynamic_batch_is_no_obstacle() -> None:
    model = resize((6, 8), "half_pixel", x="float[n,2,6,8]", s=np.array([1, 1, 2, 2], np.float32))
    assert integer_form(model.graph.node(0)) == IntegerForm(Kind.INTERPOLATION)


TWICE = np.array([1, 1, 2, 2], np.float32)
REFUSALS = {
    "dynamic size": (resize((6, 8), "half_pixel", x="float[1,2,h,w]", s=TWICE), "fixed heights and widths"),
    "1-D": (resize((6, 8), "half_pixel", x="float[1,2,6]", s=TWICE[:3]), "fixed heights and widths of images"),
    "channels": (resize((6, 8), "half_pixel", s=np.array([1, 2, 2, 2], np.float32)), "of images"),
    "cropped": (resize((6, 8), "tf_crop_and_resize", s=TWICE), "tf_crop_and_resize coordinates"),
    "antialias": (resize((6, 8), "half_pixel", more=", antialias=1", z=np.array([1, 2, 3, 8])), "antialias"),
    "proportions": (
        resize((6, 8), "half_pixel", more=', keep_aspect_ratio_policy="not_larger"', z=np.array([1, 2, 9, 9])),
        "keeps proportions",
    ),
    "costly": (
        resize((60, 80), "align_corners", s=TWICE),
        "linear from 60x80 to 120x160 by align_corners takes 100 multiplications for each pixel in integers, "
        "beyond 48 float is faster",
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_what_stays_float_says_why(name: str) -> None:
    model, reason = REFUSALS[name]
    form = integer_form(model.graph.node(0))
    assert isinstance(form, KeptFloat)
    assert form.reason.startswith("Resize: ")
    assert reason in form.reason


def test_scales_computed_at_run_time_stay_float() -> None:
    model = graph('s = Abs(k) y = Resize<mode="linear">(x, , s)', y="float[1,2,12,12]", k=TWICE)
    assert integer_form(model.graph.node(1)) == KeptFloat(
        "Resize: linear by scales that are computed at run time has no integer form"
    )
