"""On which processors the sums of a written model are exact: as the file says it, whatever tool wrote it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantseg import graph
from quantseg.errors import PlanError
from quantseg.evaluation.peers import PeerSettings, quantize_with_onnxruntime
from quantseg.evaluation.reference_models import reference_models
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.pair_check import judge, require_safe
from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT4, INT8, UINT8
from quantseg.quantization.writing import written as written_of
from quantseg.runtimes import RUNTIMES
from quantseg.simulation import saturation
from quantseg.simulation.saturation import PROCESSORS, ExactnessVerdict, processors, saturates, verdict
from tests.support import candidates, graphs, quantised
from tests.support.command_line import Command
from tests.support.quantised import kernel, noise

Array = NDArray[Any]
FEEDS = [{"x": noise(1, 4, 8, 8, seed=seed)} for seed in range(2)]


def network(**weights: Array) -> ir.Model:
    """Two convolutions, one grouped, a depthwise and a matrix product."""
    shapes = {"w": (8, 4, 3, 3), "d": (8, 1, 3, 3), "g": (8, 4, 1, 1), "m": (8, 6)}
    made = {name: kernel(*shape, seed=number) for number, (name, shape) in enumerate(shapes.items())}
    return graphs.graph(
        """a = Conv<pads=[1,1,1,1]>(x, w) r = Relu(a) b = Conv<group=8>(r, d) c = Conv<group=2>(b, g)
        p = GlobalAveragePool(c) f = Flatten(p) y = MatMul(f, m)""",
        x="float[1,4,8,8]", **(made | weights),
    )  # fmt: skip


def written(qformat: str, **settings: Any) -> ir.Model:
    """The network as a file has it."""
    made = quantised.make(network(), FEEDS, qformat=qformat, **settings)
    return ir.from_proto(onnx.load_from_string(graph.to_bytes(made.model)))


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("per_channel", [True, False])
def test_no_channel_of_what_is_written_can_saturate(qformat: str, per_channel: bool) -> None:
    found = judge(written(qformat, per_channel=per_channel))
    assert len(found) == 4
    assert [one.exempt is not None for one in found] == [False, True, False, False]
    assert not any(one.unsafe or one.unknown for one in found)
    assert sum(one.channels for one in found) >= 30


@pytest.mark.parametrize("qformat", FORMATS)
def test_full_range_weights_are_named_channel_by_channel(qformat: str) -> None:
    model = written(qformat, full_range_weights=True)
    found = verdict(model)
    assert found.unsafe
    assert not found.is_exact
    assert "can saturate on: AVX2, AVX-512" in found.sentence
    with pytest.raises(PlanError, match=r"pair sums of .* can saturate as written"):
        require_safe(model)
    (first, *_) = judge(model)
    stored = next(v.const_value.numpy() for v in model.graph.initializers.values() if v.name.startswith("w_quantized"))
    rows = stored.reshape(len(stored), 4, 9).transpose(0, 2, 1).reshape(len(stored), -1).astype(int)
    above = np.maximum(rows, 0)[:, ::2] + np.maximum(rows, 0)[:, 1::2]
    below = np.minimum(rows, 0)[:, ::2] + np.minimum(rows, 0)[:, 1::2]
    assert first.unsafe == tuple(np.nonzero(((above > 128) | (below < -128)).any(axis=1))[0])


@pytest.mark.parametrize(
    ("settings", "exempt"),
    [
        ({"weight": UINT8}, 4),
        ({"weight": UINT8, "per_channel": False}, 4),
        ({"weight": INT4}, 1),
        ({"reduce_range": True}, 1),
    ],
)
@pytest.mark.parametrize("qformat", FORMATS)
def test_other_weights_are_safe_too(settings: dict[str, Any], exempt: int, qformat: str) -> None:
    found = judge(written(qformat, **settings))
    assert sum(one.exempt is not None for one in found) == exempt
    assert not any(one.unsafe or one.unknown for one in found)


def test_what_cannot_be_judged_says_why() -> None:
    attention = graphs.graph(
        "a = Conv(x, w) b = Conv(x, v) y = MatMul(a, b)", x="float[1,4,8,8]",
        w=kernel(4, 4, 1, 1), v=kernel(4, 4, 1, 1, seed=1),
    )  # fmt: skip
    exact, signed = (verdict(quantised.make(attention, FEEDS, activation=kind).model) for kind in (UINT8, INT8))
    assert exact.is_exact
    assert signed.unknown == {"its second factor is no constant of the file": 1}
    assert "1 not judged: its second factor is no constant of the file" in signed.sentence


def test_weights_of_a_convolution_that_have_no_window_are_not_judged() -> None:
    model = written("qoperator")
    name = next(name for name in model.graph.initializers if name.startswith("w_quantized"))
    model.graph.initializers[name].const_value = ir.tensor(np.ones((8, 4), np.int8), name=name)
    assert judge(model)[0].unknown == "its weights have 2 axes"


@given(st.integers(0, 1000))
def test_weights_left_in_float_are_read_as_they_will_be_rounded(seed: int) -> None:
    """Some tools leave the constant in float before its QuantizeLinear; runtimes fold that."""
    weight = noise(4, 4, 1, 1, seed=seed)
    scale = (np.abs(weight).max(axis=(1, 2, 3)) / 127).astype(np.float32)
    text = """q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) {weight}
        e = DequantizeLinear<axis=0>(i, t, n) y = Conv(d, e)"""
    known = {"s": np.float32(0.02), "z": np.uint8(128), "t": scale, "n": np.zeros(4, np.int8)}
    stored = np.clip(np.rint(weight / scale[:, None, None, None]), -128, 127).astype(np.int8)
    folded = graphs.graph(text.format(weight=""), x="float[1,4,8,8]", i=stored, **known)
    left = graphs.graph(
        text.format(weight="i = QuantizeLinear<axis=0>(w, t, n)"), x="float[1,4,8,8]", w=weight, **known
    )
    assert judge(left) == judge(folded)
    assert judge(left)[0].channels == 4


def test_models_of_onnxruntimes_quantizer_are_judged(tmp_path: Path) -> None:
    path = reference_models()["cells_unet"]
    (image,), _ = graph.signature(graph.load(path))
    feeds = [{image.name: noise(*(size or 1 for size in image.shape))}]
    for per_channel in (True, False):
        target = tmp_path / f"{per_channel}.onnx"
        quantize_with_onnxruntime(path, target, feeds, PeerSettings(per_channel=per_channel))
        found = saturation.verdict_of(target)
        assert found.unsafe_channels
        assert not found.unknown


@pytest.mark.parametrize("qformat", FORMATS)
def test_odd_channels_side_by_side_are_safe_in_their_places(qformat: str) -> None:
    """A Concat of odd counts of channels, shuffles and groups make other weights neighbours than the plan knows of."""
    model = graphs.graph(
        """a = Conv<pads=[1,1,1,1]>(x, w) b = Conv(x, v) c = Concat<axis=1>(a, b, x) d = Conv<pads=[1,1,1,1]>(c, u)
        e = DepthToSpace<blocksize=2>(d) f = Conv<pads=[1,1,1,1], group=3>(e, t) g = Conv(f, s) y = Relu(g)""",
        x="float[1,4,8,8]", w=kernel(5, 4, 3, 3), v=kernel(3, 4, 1, 1, seed=1), u=kernel(36, 12, 3, 3, seed=2),
        t=kernel(9, 3, 3, 3, seed=3), s=kernel(6, 9, 1, 1, seed=4),
    )  # fmt: skip
    made = quantised.make(model, FEEDS, qformat=qformat)
    found = verdict(made.model)
    assert found.is_exact
    assert len(found.products) == 5
    plain = quantised.make(model, FEEDS, qformat="qoperator")
    for feed in FEEDS:
        np.testing.assert_array_equal(
            quantised.optimised(made.model, feed)[0], quantised.optimised(plain.model, feed)[0]
        )


@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("side", [1, 3])
def test_this_machine_is_found_by_trying(side: int, qformat: str) -> None:
    """The product that is tried comes out wrong where convolutions do, in each format; with safe weights none does."""
    model = graphs.graph("y = Conv(x, w)", x="float[1,64,8,8]", w=np.ones((64, 64, side, side), np.float32))
    ones = {"x": np.ones((1, 64, 8, 8), np.float32)}
    exact = 64.0 * side * side
    for full, wrong in ((True, saturates(RUNTIMES["onnxruntime"])), (False, False)):
        made = quantised.make(model, [ones], qformat=qformat, full_range_weights=full).model
        (y,) = quantised.optimised(made, ones)
        assert bool(np.abs(y - exact).max() > exact / 64) == wrong


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ("sse4_1 avx2", "AVX2"),
        ("avx2 avx512f avx512bw", "AVX-512"),
        ("avx2 avx512bw avx512_vnni", "VNNI"),
        ("avx2 avx_vnni", "VNNI"),
        ("avx2 avx512bw avx512_vnni amx_int8", "AMX"),
        ("sse2 sse4_1", "SSE"),
        ("fp asimd", "NEON"),
        ("asimd asimddp", "dot product"),
        ("asimd asimddp i8mm", "i8mm"),
        ("mips", None),
    ],
)
def test_processors_are_told_by_their_flags(flags: str, name: str | None) -> None:
    assert processors.named(frozenset(flags.split())) == name


def test_a_verdict_tells_measured_from_emulated() -> None:
    found = ExactnessVerdict((), "AVX2", saturates_here=True)
    assert [found.known(p) for p in PROCESSORS if p.name == "AVX2"] == ["measured here"]
    assert {found.known(p) for p in PROCESSORS if p.name != "AVX2"} == {"emulated", "from source"}


@pytest.mark.slow
def test_commands_say_it(quantseg: Command, float_model: Path, images: Path, int8_model: Path, tmp_path: Path) -> None:
    exact = "integer sums are exact on: AVX2, AVX-512, VNNI, AMX, SSE, NEON, dot product, i8mm, WASM SIMD"
    made = tmp_path / "full.onnx"
    calib = ("--data", images / "images", "--effort", "fast", "-o")
    said = quantseg("quantize", float_model, *calib, tmp_path / "safe.onnx").out
    assert exact in said.replace("\n", " ")
    full = quantseg("quantize", float_model, *calib, made, "--full-range-weights").out.replace("\n", " ")
    assert "can saturate on: AVX2, AVX-512 (x86 without VNNI); this machine does" in full
    assert "without --full-range-weights" in full
    for command in (
        ("inspect", int8_model, "--runs", 1),
        ("evaluate", int8_model, "--data", images),
        ("benchmark", float_model, int8_model, "--rounds", 1, "--runs", 1),
        ("compare", float_model, "--data", images, "--rounds", 1),
    ):
        outcome = quantseg(*command)
        assert outcome.code == 0
        assert exact in outcome.out.replace("\n", " ")


def test_a_model_that_could_saturate_is_not_written(
    monkeypatch: pytest.MonkeyPatch, int8_model: Path, float_model: Path, images: Path
) -> None:
    """The file is read again: a rule that failed would be seen."""
    candidate = candidates.of_file(float_model, images)
    monkeypatch.setattr("quantseg.quantization.plan.weights.safe_scale", lambda rows, scale: scale)
    with pytest.raises(PlanError, match="can saturate as written"):
        written_of(candidate)
    written_of(replace(candidate, settings=QuantSettings(full_range_weights=True)))


@pytest.mark.parametrize("qformat", FORMATS)
def test_every_weight_has_constants_of_its_own(qformat: str) -> None:
    """onnxruntime's session.x64quantprecision opens no model in which two nodes share a weight or its zero-point."""
    shared = kernel(4, 4, 3, 3)
    model = graphs.graph(
        "a = Conv<pads=[1,1,1,1]>(x, w) b = Conv<pads=[1,1,1,1]>(a, w) y = Conv<pads=[1,1,1,1]>(b, v)",
        x="float[1,4,8,8]", w=shared, v=shared[::-1].copy(),
    )  # fmt: skip
    made = quantised.make(model, FEEDS, qformat=qformat).model
    places = {"Conv": (1,), "QLinearConv": (3, 4, 5)}
    read = []
    for node in made.graph:
        for index in places.get(node.op_type, ()):
            value = node.inputs[index]
            maker = value.producer()
            read += [value] if maker is None else maker.inputs
    names = [value.name for value in read]
    assert len(names) == 9
    assert len(set(names)) == len(names)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.x64quantprecision", "1")
    opened = onnxruntime.InferenceSession(graph.to_bytes(made), options, providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(opened.run(None, FEEDS[0])[0], quantised.optimised(made, FEEDS[0])[0])
