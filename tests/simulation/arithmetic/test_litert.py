"""LiteRT's reference kernels in numpy, beside the package's, bit for bit, on random grids, sizes and integers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from quantseg.quantization.affine import QuantParams
from quantseg.quantization.formats.litert.network import LiteRtNetwork, Operator, Tensor
from quantseg.quantization.qtypes import UINT8
from quantseg.simulation.litert_program import litert_program
from quantseg.simulation.running import outputs as simulated
from tests.support import litert
from tests.support.litert import by_channel, constant, grid, of_bias

Case = tuple[list[Tensor], tuple[int, ...], QuantParams | None, dict[str, Any]]
Rng = np.random.Generator
SIDE = 12
ONTO_UNIT = grid(1 / 256, -128)


def random_grid(rng: Rng, low: float = 0.003, high: float = 0.3) -> QuantParams:
    return grid(float(np.exp(rng.uniform(np.log(low), np.log(high)))), int(rng.integers(-128, 128)))


def image(rng: Rng, channels: int = 4, own: QuantParams | None = None) -> Tensor:
    return Tensor("x", (1, SIDE, SIDE, channels), "int8", own or random_grid(rng))


def stored(rng: Rng, *shape: int) -> np.ndarray:
    return rng.integers(-127, 128, shape).astype(np.int8)


def weighted(rng: Rng, data: Tensor, shape: tuple[int, ...], axis: int) -> list[Tensor]:
    scales = np.exp(rng.uniform(np.log(1e-4), np.log(0.05), shape[axis])).astype(np.float32)
    assert data.params is not None
    bias = rng.integers(-5000, 5000, shape[axis]).astype(np.int32)
    return [
        constant(stored(rng, *shape), by_channel(scales, axis)),
        constant(bias, of_bias(scales * data.params.scale)),
    ]


def convolution(rng: Rng) -> Case:
    inputs, outputs, groups = int(rng.integers(1, 5)), int(rng.integers(1, 5)), int(rng.integers(1, 3))
    data = image(rng, inputs * groups)
    options = {"padding": 0, "stride_w": 2, "stride_h": 1, "fused_activation_function": int(rng.choice([0, 1, 3]))}
    operands = weighted(rng, data, (outputs * groups, 3, 3, inputs), 0)
    return [data, *operands], (1, SIDE, SIDE // 2, outputs * groups), random_grid(rng, 0.05, 2), options


def depthwise(rng: Rng) -> Case:
    channels, multiplier = int(rng.integers(2, 6)), int(rng.integers(1, 3))
    data = image(rng, channels)
    options = {"padding": 0, "stride_w": 1, "stride_h": 1, "depth_multiplier": multiplier}
    operands = weighted(rng, data, (1, 3, 3, channels * multiplier), 3)
    return [data, *operands], (1, SIDE, SIDE, channels * multiplier), random_grid(rng, 0.05, 2), options


def transposed(rng: Rng) -> Case:
    outputs, size = int(rng.integers(1, 6)), int(rng.integers(2, 5))
    given = 2 * SIDE if size == 4 else (SIDE - 1) * 2 + size
    data, shape = image(rng), (1, given, given, outputs)
    weight, bias = weighted(rng, data, (outputs, size, size, 4), 0)
    options = {"padding": 0 if size == 4 else 1, "stride_w": 2, "stride_h": 2}
    options["fused_activation_function"] = int(rng.choice([0, 1, 3]))
    return [constant(np.array(shape, np.int32)), weight, data, bias], shape, random_grid(rng, 0.05, 2), options


def fully_connected(rng: Rng) -> Case:
    outputs = int(rng.integers(1, 40))
    data = Tensor("x", (64, 32), "int8", random_grid(rng))
    operands = weighted(rng, data, (outputs, 32), 0)
    return [data, *operands], (64, outputs), random_grid(rng, 0.05, 2), {"keep_num_dims": True}


def matrices(rng: Rng) -> Case:
    left, right = Tensor("x", (2, 16, 24), "int8", random_grid(rng)), Tensor("z", (2, 24, 20), "int8", random_grid(rng))
    return [left, right], (2, 16, 20), random_grid(rng, 0.05, 2), {}


def pair(rng: Rng) -> Case:
    options = {"fused_activation_function": int(rng.choice([0, 1, 3]))}
    return [image(rng), image(rng)], (1, SIDE, SIDE, 4), random_grid(rng, 0.02, 0.6), options


def unary(rng: Rng) -> Case:
    return [image(rng)], (1, SIDE, SIDE, 4), random_grid(rng), {}


def of_reals(rng: Rng) -> Case:
    return [Tensor("x", (1, SIDE, SIDE, 4), "float32")], (1, SIDE, SIDE, 4), random_grid(rng), {}


def of_pixels(rng: Rng) -> Case:
    own = QuantParams(np.asarray(1, np.float32), np.asarray(0, np.uint8), UINT8)
    return [Tensor("x", (1, SIDE, SIDE, 3), "uint8", own)], (1, SIDE, SIDE, 3), grid(1, -128), {}


def onto(fixed: QuantParams, **options: Any) -> Callable[[Rng], Case]:
    def case(rng: Rng) -> Case:
        channels = int(rng.integers(2, 30))
        return [image(rng, channels)], (1, SIDE, SIDE, channels), fixed, options

    return case


def leaky(rng: Rng) -> Case:
    data, shape, own, _ = unary(rng)
    return data, shape, own, {"alpha": float(rng.uniform(0.01, 0.9))}


def prelu(rng: Rng) -> Case:
    data, shape, own, _ = unary(rng)
    return [*data, constant(stored(rng, 1, 1, 4), random_grid(rng, 0.001, 0.01))], shape, own, {}


def mean(rng: Rng) -> Case:
    own = random_grid(rng, 0.003, 0.1)
    return [image(rng), constant(np.array([1, 2], np.int32))], (1, 1, 1, 4), own, {"keep_dims": True}


def average(rng: Rng) -> Case:
    own = random_grid(rng)
    sizes = {"stride_w": 1, "stride_h": 1, "filter_width": 3, "filter_height": 3, "padding": 0}
    return [image(rng, own=own)], (1, SIDE, SIDE, 4), own, sizes


def bilinear(rng: Rng) -> Case:
    own, size, mode = random_grid(rng), [int(n) for n in rng.integers(5, 40, 2)], int(rng.integers(0, 3))
    options = {"align_corners": mode == 1, "half_pixel_centers": mode == 2}
    return [image(rng, 3, own), constant(np.array(size, np.int32))], (1, *size, 3), own, options


CASES: dict[str, tuple[str, Callable[[Rng], Case]]] = {
    "CONV_2D": ("CONV_2D", convolution),
    "DEPTHWISE_CONV_2D": ("DEPTHWISE_CONV_2D", depthwise),
    "TRANSPOSE_CONV": ("TRANSPOSE_CONV", transposed),
    "FULLY_CONNECTED": ("FULLY_CONNECTED", fully_connected),
    "BATCH_MATMUL": ("BATCH_MATMUL", matrices),
    "ADD": ("ADD", pair),
    "SUB": ("SUB", pair),
    "MUL": ("MUL", pair),
    "QUANTIZE": ("QUANTIZE", unary),
    "QUANTIZE of reals": ("QUANTIZE", of_reals),
    "QUANTIZE of pixels": ("QUANTIZE", of_pixels),
    "RELU": ("RELU", unary),
    "RELU6": ("RELU6", unary),
    "HARD_SWISH": ("HARD_SWISH", unary),
    "LEAKY_RELU": ("LEAKY_RELU", leaky),
    "PRELU": ("PRELU", prelu),
    "LOGISTIC": ("LOGISTIC", onto(ONTO_UNIT)),
    "TANH": ("TANH", onto(grid(1 / 128))),
    "SOFTMAX": ("SOFTMAX", onto(ONTO_UNIT, beta=1.0)),
    "MEAN": ("MEAN", mean),
    "AVERAGE_POOL_2D": ("AVERAGE_POOL_2D", average),
    "MAX_POOL_2D": ("MAX_POOL_2D", average),
    "RESIZE_BILINEAR": ("RESIZE_BILINEAR", bilinear),
    "RESIZE_NEAREST_NEIGHBOR": ("RESIZE_NEAREST_NEIGHBOR", bilinear),
}


@pytest.mark.parametrize("name", CASES)
def test_integers_are_those_of_the_reference_kernel(name: str) -> None:
    pytest.importorskip("ai_edge_litert", reason=litert.WITHOUT)
    kind, case = CASES[name]
    for seed in range(12):
        rng = np.random.default_rng(seed)
        inputs, shape, own, options = case(rng)
        result = Tensor("y", shape, "int8", own)
        named = [one if one.is_constant else Tensor(f"x{k}", one.shape, one.dtype, one.params)
                 for k, one in enumerate(inputs)]  # fmt: skip
        fed = tuple(one for one in named if not one.is_constant)
        one = LiteRtNetwork((Operator(kind, tuple(named), (result,), options),), fed, (result,))
        feeds = {t.name: _random(rng, t) for t in fed}
        (theirs,) = litert.outputs(one, feeds, "litert-reference")
        assert np.array_equal(simulated(litert_program(one, {}, name), feeds)["y"], theirs)


def _random(rng: Rng, tensor: Tensor) -> np.ndarray:
    if tensor.dtype == "float32":
        return rng.normal(0, 3, tensor.shape).astype(np.float32)
    limits = np.iinfo(tensor.dtype)
    return rng.integers(limits.min, limits.max + 1, tensor.shape).astype(tensor.dtype)
