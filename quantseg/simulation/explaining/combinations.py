"""The calculation of one value of QLinearAdd, QLinearMul, average pooling, lookup tables and QuantizeLinear."""

import math

import numpy as np

from quantseg.quantization.rounding.requantisation import Ratio
from quantseg.simulation.arithmetic import OPERATORS, Call
from quantseg.simulation.arithmetic.accumulators import channels_first
from quantseg.simulation.arithmetic.lookup import leaky, logistic
from quantseg.simulation.arithmetic.windows import windows
from quantseg.simulation.explaining.working import Array, Given, Term, Working, work


def _at(values: Array, place: tuple[int, ...]) -> int:
    """The value that broadcasting uses at this index of the result."""
    own = place[len(place) - values.ndim :]
    return int(values[tuple(i if n > 1 else 0 for i, n in zip(own, values.shape, strict=True))])


def _of_pair(call: Call, result: int) -> Given:
    """The grids and the result of an operator with two inputs."""
    scales = {name: float(call.scale(index)) for name, index in (("S_a", 1), ("S_b", 4), ("S_y", 6))}
    return Given(scales, call.zero_point(7, call.array(0).dtype), result)


def added(op_type: str, call: Call, place: tuple[int, ...], result: int) -> Working:
    """One value of a QLinearAdd, whose inputs have different scales."""
    s_a, s_b, s_y = call.scale(1), call.scale(4), call.scale(6)
    a, b = _at(call.array(0), place), _at(call.array(3), place)
    left, right = a - int(call.zero_point(2)), b - int(call.zero_point(5))
    scales = {"S_a": float(s_a), "S_b": float(s_b), "S_y": float(s_y)}
    given = Given(scales, call.zero_point(7, call.array(0).dtype), result)
    exact = left * float(s_a) + right * float(s_b)
    scaled = float(np.float32(exact / float(s_y)))
    return _real(
        "q = clip(round((q_a − Z_a) · S_a/S_y + (q_b − Z_b) · S_b/S_y + Z_y))",
        (Term("a", a, left, 1), Term("b", b, right, 1)),
        given,
        exact,
        scaled,
    )


def multiplied(op_type: str, call: Call, place: tuple[int, ...], result: int) -> Working:
    """One value of a QLinearMul."""
    s_a, s_b, s_y = call.scale(1), call.scale(4), call.scale(6)
    a, b = _at(call.array(0), place), _at(call.array(3), place)
    term = Term("a · b", a, a - int(call.zero_point(2)), b - int(call.zero_point(5)))
    return work(
        "q = clip(round((q_a − Z_a)(q_b − Z_b) · S_a S_b / S_y) + Z_y)",
        (term,),
        None,
        Ratio((s_a, s_b), (s_y,)),
        Given(
            {"S_a": float(s_a), "S_b": float(s_b), "S_y": float(s_y)}, call.zero_point(7, call.array(0).dtype), result
        ),
        call.rounding,
    )


def averaged(op_type: str, call: Call, place: tuple[int, ...], result: int) -> Working:
    """One value of average pooling, over a window or the whole image."""
    x, last = channels_first(call), bool(call.number("channels_last", 0))
    image, channel, *pixel = (place[0], place[-1], *place[1:-1]) if last else place
    zero, terms, count = int(call.zero_point(2, x.dtype)), [], 0
    if op_type == "QLinearGlobalAveragePool":
        taps = [(tuple(at), True) for at in np.ndindex(x.shape[2:])]
    else:
        view = windows(x.shape[2:], call.attributes["kernel_shape"], call.attributes)
        places = [
            tuple(
                i * stride + step * dilation - low
                for i, stride, step, dilation, (low, _) in zip(
                    pixel, view.strides, tap, view.dilations, view.pads, strict=True
                )
            )
            for tap in view.taps()
        ]
        taps = [(at, all(0 <= i < n for i, n in zip(at, x.shape[2:], strict=True))) for at in places]
    for at, inside in taps:
        count += inside or bool(call.number("count_include_pad", 0))
        if inside:
            whole = (image, channel, *at)
            stored = int(x[whole])
            terms.append(Term(f"pixel {at}", stored, stored - zero, 1))
    s_x, s_y = call.scale(1), call.scale(3)
    return work(
        f"q = clip(round(Σ (q − Z_x) · S_x / ({count} · S_y)) + Z_y)",
        tuple(terms),
        None,
        Ratio((s_x,), (s_y, np.asarray(count, np.float32))),
        Given({"S_x": float(s_x), "S_y": float(s_y)}, call.zero_point(4, x.dtype), result),
        call.rounding,
    )


def looked_up(op_type: str, call: Call, place: tuple[int, ...], result: int) -> Working:
    """One value of an operator that is computed through a table of 256 values, such as QLinearSigmoid."""
    x, s_x, s_y = call.array(0), call.scale(1), call.scale(3)
    stored = int(x[place])
    left = stored - int(call.zero_point(2, x.dtype))
    real = np.asarray(left * float(s_x))
    sigmoid = op_type == "QLinearSigmoid"
    exact = float(logistic(real) if sigmoid else leaky(real, call.attributes.get("alpha", 0.01)))
    return _real(
        f"q = clip(round(f(S_x (q_x − Z_x)) / S_y) + Z_y),  f = {'1 / (1 + e^−x)' if sigmoid else 'LeakyRelu'}",
        (Term("x", stored, left, 1),),
        Given({"S_x": float(s_x), "S_y": float(s_y)}, call.zero_point(4, x.dtype), result),
        exact,
        exact / float(s_y),
    )


def quantised(op_type: str, call: Call, place: tuple[int, ...], result: int) -> Working:
    """One value of a QuantizeLinear."""
    (stored,) = OPERATORS["QuantizeLinear"](call)
    scale, zero = call.array(1), call.maybe(2)
    index = place[call.axis(1, stored.ndim)] if scale.size > 1 else 0
    s_y = float(scale.reshape(-1)[index])
    z_y = np.zeros((), stored.dtype) if zero is None else zero.reshape(-1)[index if zero.size > 1 else 0].reshape(())
    exact = float(call.array(0)[place])
    return _real("q = clip(round(x / S_y) + Z_y)", (), Given({"S_y": s_y}, z_y, result), exact, exact / s_y)


def _real(formula: str, terms: tuple[Term, ...], given: Given, exact: float, scaled: float) -> Working:
    """The calculation of a value without integer accumulator: a real number, quantised to the output's grid."""
    info, zero, s_y = np.iinfo(given.zero_point.dtype), int(given.zero_point), given.scales["S_y"]
    return Working(
        formula=formula,
        terms=terms,
        total=exact,
        bias=None,
        accumulator=exact,
        multiplier=1 / s_y,
        fixed=None,
        shift=None,
        scaled=scaled,
        rounded=round(scaled) if math.isfinite(scaled) else 0,
        zero_point=zero,
        qmin=int(info.min),
        qmax=int(info.max),
        result=given.result,
        scales=tuple(given.scales.items()),
        real=s_y * (given.result - zero),
        exact=exact,
    )
