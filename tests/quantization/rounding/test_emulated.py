"""The kernels that `agreement` compares, beside onnxruntime on the processors of the bench: every pair of integers."""

from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from quantseg.quantization.rounding.agreement import PairGrids, apart, differ
from quantseg.quantization.rounding.pairwise import ADDERS, MULTIPLIERS
from quantseg.simulation.arithmetic.processors import PROCESSORS
from tests.support.operators import simulated

bench = pytest.importorskip("tests.processors", reason="the bench of emulated processors is not part of this tree")
EMULATED = {
    "avx2-native": "avx2",
    "avx2": "avx2",
    "nehalem": "sse",
    "cortex-a53": "neon",
    "cortex-a76": "neon",
    "aarch64": "neon",
    "wasm": "wasm",
}
RNG = np.random.default_rng(4)
INTEGERS = np.arange(256, dtype=np.uint8)
FEEDS = {
    "a": np.repeat(INTEGERS, 256),
    "b": np.tile(INTEGERS, 256),
    "x": RNG.integers(90, 166, (1, 64, 4, 4)).astype(np.uint8),
}


def _drawn(number: int) -> PairGrids:
    """Scales in simple ratios, so that many results lie at ties; each third sum is a difference."""
    s_a, s_b = RNG.integers(1, 12, 2) / RNG.choice([1, 2, 4, 8, 10, 16, 20, 100], 2)
    s_y = max(s_a, s_b) * RNG.choice([0.5, 1, 1.5, 2])
    scales = (s_a, -s_b if number % 3 == 2 else s_b, s_y)
    return PairGrids(tuple(float(np.float32(scale)) for scale in scales), tuple(map(int, RNG.integers(0, 256, 3))))


SUMS = [_drawn(number) for number in range(24)]
PRODUCTS = [
    PairGrids((made.scales[0], abs(made.scales[1]), float(np.float32(made.scales[2] * 30))), made.zeros)
    for made in SUMS
]
MEANS = [PairGrids((made.scales[0], made.scales[2]), made.zeros[:2]) for made in SUMS]


def _model() -> bytes:
    """All operators on the same inputs, an output each."""
    nodes, constants, outputs = [], [], []
    for kind, several in (("Add", SUMS), ("Mul", PRODUCTS), ("GlobalAveragePool", MEANS)):
        for number, made in enumerate(several):
            operands = []
            for side, scale, zero in zip(
                "aby" if kind in ("Add", "Mul") else "xy", made.single, made.stored, strict=True
            ):
                names = [f"{kind}{number}{side}{what}" for what in "sz"]
                constants += [numpy_helper.from_array(v, n) for v, n in zip((scale, zero), names, strict=True)]
                operands += [*([] if side == "y" else [side]), *names]
            nodes.append(helper.make_node(f"QLinear{kind}", operands, [f"{kind}{number}"], domain="com.microsoft"))
            outputs.append(helper.make_tensor_value_info(f"{kind}{number}", TensorProto.UINT8, None))
    inputs = [helper.make_tensor_value_info(n, TensorProto.UINT8, v.shape) for n, v in FEEDS.items()]
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants)
    versions = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    return bytes(helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString())


@pytest.fixture(scope="module", params=EMULATED)
def computed(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    """The family of kernels, and all that a processor of it makes."""
    reason = bench.available(request.param)
    if reason is not None:
        pytest.skip(reason)
    (found,) = bench.run(request.param, _model(), [FEEDS])
    return EMULATED[request.param], found


def test_every_pair_and_every_sum_is_as_the_simulator_says(computed: tuple[str, dict[str, Any]]) -> None:
    family, found = computed
    processor, a, b = PROCESSORS[family], FEEDS["a"], FEEDS["b"]
    for number, made in enumerate(SUMS):
        (s_a, s_b, s_y), (z_a, z_b, z_y) = made.single, made.stored
        expected = ADDERS[processor.adds](a, b, (s_a, s_b, s_y), (z_a, z_b, z_y), False)
        np.testing.assert_array_equal(found[f"Add{number}"], expected, err_msg=str(made))
    for number, made in enumerate(PRODUCTS):
        (s_a, s_b, s_y), (z_a, z_b, z_y) = made.single, made.stored
        left, right = a.astype(np.int32) - int(z_a), b.astype(np.int32) - int(z_b)
        expected = MULTIPLIERS[processor.multiplies](left, right, (s_a, s_b, s_y), z_y)
        np.testing.assert_array_equal(found[f"Mul{number}"], expected, err_msg=str(made))
    for number, made in enumerate(MEANS):
        (s_x, s_y), (z_x, z_y) = made.single, made.stored
        (expected,) = simulated("QLinearGlobalAveragePool", FEEDS["x"], s_x, z_x, s_y, z_y)
        np.testing.assert_array_equal(found[f"GlobalAveragePool{number}"], expected, err_msg=str(made))


def test_where_kernels_are_said_to_agree_the_processor_gives_what_onnx_says(
    computed: tuple[str, dict[str, Any]],
) -> None:
    """Differing numbers are few enough that the claim is not empty."""
    _, found = computed
    a, b = (FEEDS[name].astype(np.int64) for name in "ab")
    for kind, several in (("Add", SUMS), ("Mul", PRODUCTS)):
        assert sum(apart(kind, made) for made in several) < 0.5 * len(several) * a.size
        for number, made in enumerate(several):
            (s_a, s_b, s_y), (z_a, z_b, z_y) = made.single, made.zeros
            left, right = (a - z_a).astype(np.float32) * s_a, (b - z_b).astype(np.float32) * s_b
            real = left + right if kind == "Add" else left * right
            expected = np.clip(np.rint(real / s_y) + z_y, 0, 255)
            alike = ~differ(kind, made, a, b)
            np.testing.assert_array_equal(found[f"{kind}{number}"][alike], expected[alike], err_msg=str(made))
