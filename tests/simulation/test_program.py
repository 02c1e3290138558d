"""Quantised models as programs of the simulator: patterns, errors, comparisons, saved runs, proofs."""

import io
import json
import zipfile
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import pytest

from quantseg.errors import DataError, ModelError, PlanError
from quantseg.files import limits
from quantseg.graph.preparation import prepare
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.plan import QuantSettings, plan
from quantseg.quantization.qtypes import INT4
from quantseg.quantization.rounding.requantisation import ROUNDINGS
from quantseg.runtimes import RUNTIMES
from quantseg.simulation import running, saved
from quantseg.simulation.difference import difference
from quantseg.simulation.finding import find, place_of
from quantseg.simulation.judging import Judgement, compared, given_floats
from quantseg.simulation.others import InRuntime, Simulated
from quantseg.simulation.program import Program, program, require_quantised
from quantseg.simulation.proof import added, read_channels, sums_of
from quantseg.simulation.running import TakenStep, run
from quantseg.simulation.step import Step
from tests.support import graphs, operators, quantised
from tests.support.quantised import Array, kernel, noise
from tests.support.special_files import SPECIAL

FEEDS = [{"x": noise(1, 3, 12, 12, seed=seed)} for seed in range(2)]
BODY = """a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) p = MaxPool<kernel_shape=[2,2], strides=[2,2]>(r)
u = ConvTranspose<strides=[2,2]>(p, w2, b2) c = Concat<axis=1>(u, r) y = Conv(c, w3)"""
WEIGHTS = {
    "w1": kernel(8, 3, 3, 3), "b1": noise(8) / 2, "w2": kernel(8, 4, 2, 2, seed=1), "b2": noise(4, seed=1) / 2,
    "w3": kernel(3, 12, 1, 1, seed=2),
}  # fmt: skip


def small(qformat: str = "qdq", **settings: Any) -> ir.Model:
    model = graphs.graph(BODY, x="float[1,3,12,12]", **WEIGHTS)
    return quantised.make(model, FEEDS, qformat=qformat, **settings).model


def steps_of(taken: Program) -> list[str]:
    return [step.op_type for step in taken.steps]


def qdq(middle: str, x: str = "uint8[1,4,6,6]", y: str = "uint8[]", **constants: Array) -> ir.Model:
    """A model from integers x to integers y around these nodes."""
    return graphs.parse(
        f'<ir_version: 8, opset_import: ["": 17]> g ({x} x) => ({y} y) {{ {middle} }}',
        s=np.float32(0.5), z=np.uint8(3), t=np.float32(0.25), **constants,
    )  # fmt: skip


def test_a_qdq_graph_is_read_as_the_integer_operators_it_stands_for() -> None:
    assert steps_of(program(small())) == [
        "QuantizeLinear", "QLinearConv", "MaxPool", "QLinearConv", "DepthToSpace", "QLinearConcat", "QLinearConv",
        "DequantizeLinear",
    ]  # fmt: skip


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_qdq_qoperator_and_channels_last_are_one_model_in_every_rounding(rounding: str) -> None:
    answers = [running.outputs(program(small(f)), FEEDS[0], rounding=rounding)["y"] for f in FORMATS]
    for answer in answers[1:]:
        np.testing.assert_array_equal(answer, answers[0])


def test_a_pattern_whose_result_is_read_in_float_too_stays_in_float() -> None:
    text = "d = DequantizeLinear(x, s, z) r = Sigmoid(d) q = QuantizeLinear(r, t, z) e = DequantizeLinear(q, t, z) "
    assert steps_of(program(qdq(text + "y = Identity(q)"))) == ["QLinearSigmoid", "Identity"]
    both = program(qdq(text + "y = Add(e, r)", y="float[]"))
    assert "QLinearSigmoid" not in steps_of(both)


@pytest.mark.parametrize("node", ["DepthToSpace<blocksize=2>(d)", "Tile(d, twice)"])
def test_movement_on_one_grid_is_on_integers_and_on_two_grids_is_not(node: str) -> None:
    op_type, twice = node.split("<")[0].split("(")[0], np.array([1, 1, 2, 1])
    one = f"d = DequantizeLinear(x, s, z) r = {node} y = QuantizeLinear(r, s, z)"
    model = qdq(one, twice=twice)
    assert steps_of(program(model)) == [op_type]
    feeds = {"x": np.random.default_rng(0).integers(0, 256, (1, 4, 6, 6)).astype(np.uint8)}
    np.testing.assert_array_equal(running.outputs(program(model), feeds)["y"], graphs.run(model, feeds)[0])
    two = one.replace("QuantizeLinear(r, s, z)", "QuantizeLinear(r, t, z)")
    assert steps_of(program(qdq(two, twice=twice))) == ["DequantizeLinear", op_type, "QuantizeLinear"]


def test_a_relu_that_the_grid_does_anyway_is_part_of_the_pattern() -> None:
    text = "d = DequantizeLinear(x, s, z) r = GlobalAveragePool(d) c = Relu(r) y = QuantizeLinear(c, t, o)"
    assert steps_of(program(qdq(text, o=np.uint8(0)))) == ["QLinearGlobalAveragePool"]
    assert "Relu" in steps_of(program(qdq(text, o=np.uint8(9))))


def test_a_conv_transpose_between_qdq_is_an_integer_operator_near_the_float_one() -> None:
    """onnxruntime computes it in float: they may lie one step apart, where the float sum is rounded."""
    text = """d = DequantizeLinear(x, s, z) v = DequantizeLinear<axis=1>(w, ws, wz)
              r = ConvTranspose<strides=[2,2], pads=[1,0,0,1]>(d, v) y = QuantizeLinear(r, t, z)"""
    weights = {
        "w": np.random.default_rng(0).integers(-127, 128, (4, 3, 3, 3)).astype(np.int8),
        "ws": np.array([0.01, 0.02, 0.005], np.float32), "wz": np.zeros(3, np.int8),
    }  # fmt: skip
    model = qdq(text, **weights)
    assert steps_of(program(model)) == ["QLinearConvTranspose"]
    x = np.random.default_rng(1).integers(0, 256, (1, 4, 6, 6)).astype(np.uint8)
    found, expected = running.outputs(program(model), {"x": x})["y"], graphs.run(model, {"x": x})[0]
    assert np.abs(found.astype(int) - expected).max() <= 1
    assert (found != expected).mean() < 0.01


def test_an_unknown_operator_is_named_with_its_node_before_anything_is_computed() -> None:
    model = qdq('d = DequantizeLinear(x, s, z) r = Einsum<equation="abcd->abdc">(d) y = QuantizeLinear(r, s, z)')
    list(model.graph)[1].name = "odd"
    with pytest.raises(ModelError, match=r"'odd' is Einsum, which the simulator does not know"):
        program(model)


def test_a_float_model_is_told_to_quantise_first() -> None:
    with pytest.raises(ModelError, match=r"net\.onnx: is a float model; quantise it first: quantseg quantize"):
        require_quantised(graphs.graph(BODY, x="float[1,3,12,12]", **WEIGHTS), "net.onnx")


@pytest.mark.parametrize("qformat", FORMATS)
def test_shapes_that_do_not_fit_name_the_node_and_both(qformat: str) -> None:
    wanted = r"node '.+' \(QLinearConv\): input \[1, .*\] and weight \[\d+, .*\] do not fit"
    with pytest.raises(ModelError, match=wanted):
        running.outputs(program(small(qformat)), {"x": noise(1, 7, 12, 12)})


def test_what_numpy_refuses_names_the_node_and_the_shapes() -> None:
    model = qdq("y = Transpose<perm=[0,2,1,3]>(x)")
    steps = program(model)
    with pytest.raises(ModelError, match=r"node 'Transpose_0' \(Transpose\).*\[4, 6\]"):
        running.outputs(steps, {"x": np.zeros((4, 6), np.uint8)})


def test_an_input_that_is_not_fed_is_named() -> None:
    with pytest.raises(ModelError, match="input 'x' is not fed"):
        running.outputs(program(small()), {})


def test_an_unknown_rounding_is_refused() -> None:
    with pytest.raises(PlanError, match="'nearest' is no rounding; choose one of onnxruntime"):
        running.outputs(program(small()), FEEDS[0], rounding="nearest")


def test_a_step_forgets_what_nobody_reads_any_more_and_takes_what_is_given() -> None:
    steps = program(small())
    plain = running.outputs(steps, FEEDS[0])["y"]
    instead = {step.outputs[0]: np.zeros((1, 8, 12, 12), np.uint8) for step in steps.steps[1:2]}
    given = list(run(steps, FEEDS[0], given=instead))[-1].results[0]
    assert not np.array_equal(plain, given)


@pytest.mark.parametrize("qformat", FORMATS)
def test_the_runtime_makes_the_same_tensors_step_by_step(qformat: str) -> None:
    judgement = judged(small(qformat))
    assert judgement.is_exact
    assert judgement.differences == {}
    assert judgement.values > 3000


def judged(model: ir.Model, other: ir.Model | None = None, rounding: str = "onnxruntime") -> Judgement:
    steps = program(model)
    judgement = Judgement()
    with closing(InRuntime(other or model, program(other or model), RUNTIMES["onnxruntime"], threads=1)) as runtime:
        theirs = runtime.tensors("", FEEDS[0])
        given_ = given_floats(steps, theirs)
        for taken in run(steps, FEEDS[0], rounding=rounding, processor=operators.this_processor(), given=given_):
            judgement += compared(taken, theirs, image="one")
    return judgement


def test_a_changed_weight_is_found_at_the_node_that_has_it() -> None:
    """A weight of the second product is nought: the first difference is there, and nowhere before."""
    model, changed = small(), small()
    value = changed.graph.initializers["ConvTranspose_3_phases_quantized"]
    numbers = np.array(value.const_value.numpy())
    numbers[0, 0] = 0
    value.const_value = ir.Tensor(numbers, name=value.name)
    judgement = judged(model, changed)
    first = judgement.in_order(program(model), integer=True)[0]
    assert not judgement.is_exact
    assert first.op_type == "QLinearConv"
    assert first.node == program(model).steps[3].name
    assert first.examples[0].mine != first.examples[0].other
    assert 0 < first.values < first.size


def test_another_rounding_differs_by_a_step_where_it_differs_first() -> None:
    judgement = judged(small(), rounding="gemmlowp")
    for found in judgement.in_order(program(small()), integer=True)[:1]:
        assert found.largest == 1


def test_differences_add_up_over_images() -> None:
    step = Step("n", "QLinearConv", (), ("y",), {}, "Conv")
    one = difference(step, "y", np.array([1, 2, 3], np.uint8), np.array([1, 2, 9], np.uint8), image="a")
    other = difference(step, "y", np.array([1, 2, 3], np.uint8), np.array([0, 0, 3], np.uint8), image="b")
    assert one is not None
    assert other is not None
    both = one + other
    assert (both.values, both.size, both.largest, both.image) == (3, 6, 6.0, "a")
    assert difference(step, "y", np.array([np.nan]), np.array([np.nan]), image="a") is None


def test_other_shapes_are_an_error_not_a_difference() -> None:
    step = Step("n", "QLinearConv", (), ("y",), {}, "Conv")
    with pytest.raises(ModelError, match=r"node 'n': 'y' has shape \[3\] here and \[4\] there"):
        difference(step, "y", np.zeros(3), np.zeros(4), image="a")


def test_a_float_kernel_counts_apart_and_the_integers_behind_it_go_on_from_its_numbers() -> None:
    model = graphs.graph("a = Conv(x, w1, b1) h = Relu(a) y = Conv(h, w)", x="float[1,3,12,12]",
                         w1=kernel(8, 3, 3, 3), b1=noise(8), w=kernel(3, 8, 1, 1))  # fmt: skip
    prepared = prepare(model)
    settings = QuantSettings(exclude=(next(iter(prepared.model.graph)).name or "",))
    made = quantised.make(model, FEEDS, exclude=settings.exclude).model
    steps = program(made)
    name = next(step.outputs[0] for step in steps.steps if step.op_type == "Conv")
    wrong = {name: np.full((1, 8, 10, 10), 0.25, np.float32)}
    assert given_floats(steps, wrong) == wrong
    taken = list(run(steps, FEEDS[0], given=wrong))
    judgement = sum((compared(one, wrong, image="") for one in taken), Judgement())
    assert judgement.is_exact
    assert [found.integer for found in judgement.differences.values()] == [False]
    assert len(np.unique(taken[-1].results[0])) == 3


def npy(values: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, values)
    return stream.getvalue()


ONES, OBJECTS = npy(np.ones(3, np.uint8)), npy(np.array([None, 1], object))


@pytest.mark.parametrize("to", [99, 2**32, -1])
def test_a_cast_to_no_type_is_refused(to: int) -> None:
    model = graphs.graph("q = QuantizeLinear(x, s) d = DequantizeLinear(q, s) y = Cast<to=1>(d)", s=np.float32(1))
    cast = next(node for node in model.graph if node.op_type == "Cast")
    cast.attributes["to"] = ir.AttrInt64("to", to)
    with pytest.raises(ModelError, match=f"{to} is the number of no type; quantise the model again"):
        program(model)


@pytest.fixture
def run_file(tmp_path: Path) -> Path:
    steps, path = program(small()), tmp_path / "run.npz"
    with saved.writing(path) as writing:
        for number, feed in enumerate(FEEDS):
            for taken in run(steps, feed):
                for name, values in taken.named:
                    writing.add(number, name, values)
        writing.about({"images": ["a", "b"], "rounding": "onnxruntime"})
    return path


def test_a_saved_run_is_the_same_bytes_and_the_same_tensors(run_file: Path, tmp_path: Path) -> None:
    before = run_file.read_bytes()
    with closing(saved.SavedRun(run_file, ["b"])) as stored:
        tensors = stored.tensors("b", FEEDS[1])
        taken = list(run(program(small()), FEEDS[1]))
        assert set(tensors) == {name for one in taken for name, _ in one.named}
        for one in taken:
            assert compared(one, tensors, image="b").is_exact
    with np.load(run_file) as archive:
        assert len([name for name in archive.files if name.startswith("0/")]) == len(tensors)
    assert run_file.read_bytes() == before


def test_a_run_of_other_images_or_another_file_is_refused(run_file: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no image 'c'; run both on the same images"):
        saved.SavedRun(run_file, ["a", "c"])
    (tmp_path / "no.npz").write_bytes(b"nothing")
    with pytest.raises(DataError, match="is no saved run"):
        saved.SavedRun(tmp_path / "no.npz", [])
    with pytest.raises(DataError, match="cannot be read"):
        saved.SavedRun(tmp_path / "missing.npz", [])


@pytest.mark.parametrize(
    "facts",
    [b"", b"3", b"[]", b"{}", b'{"images": "a"}', b'{"images": [1]}', b'{"images": {"a": 0}}', b"[" * 200_000],
)
def test_a_description_of_another_form_is_no_saved_run(facts: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.npz", "w") as archive:
        archive.writestr("run.json", facts)
    with pytest.raises(DataError, match=r"run\.npz: is no saved run; make one with quantseg simulate"):
        saved.SavedRun(tmp_path / "run.npz", ["a"])


@pytest.mark.parametrize(
    ("content", "method"),
    [(b"", 0), (b"\x93NUMPY\x01\x00\x02\x00{(", 0), (OBJECTS, 0), (ONES[:-1], 8), (ONES, zipfile.ZIP_LZMA)],
)
def test_a_tensor_that_is_none_is_named(content: bytes, method: int, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.npz", "w", method) as archive:
        archive.writestr("run.json", b'{"images": ["a"]}', zipfile.ZIP_DEFLATED)
        archive.writestr("0/y.npy", content)
    stored = saved.SavedRun(tmp_path / "run.npz", ["a"]).tensors("a", {})
    with pytest.raises(DataError, match="'y' in it is damaged; save the run again"):
        stored["y"]


def test_a_tensor_that_claims_more_than_it_holds_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = tmp_path / "run.npz"
    with saved.writing(path) as writing:
        writing.about({"images": ["a"]})
        header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (1099511627776,), }"
        header += b" " * (118 - len(header) - 1) + b"\n"
        writing._store("0/y.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    stored = saved.SavedRun(path, ["a"]).tensors("a", {})
    with pytest.raises(DataError, match="'y' in it is damaged; save the run again"):
        stored["y"]


def test_a_description_beyond_its_bound_is_not_read(run_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARCHIVE_TEXT", 10)
    with pytest.raises(DataError, match="is no saved run"):
        saved.SavedRun(run_file, ["a"])


@pytest.mark.parametrize("kind", SPECIAL)
def test_a_saved_run_is_read_from_files_alone(kind: str, tmp_path: Path) -> None:
    SPECIAL[kind][0](tmp_path / "run.npz")
    with pytest.raises(DataError, match=f"cannot be read \\({SPECIAL[kind][1]}, not a file\\); give a run"):
        saved.SavedRun(tmp_path / "run.npz", ["a"])


CHANNELS = {
    "infinity": '{"products": [{"node": "a", "saturating_channels": [Infinity]}]}',
    "not a number": '{"products": [{"node": "a", "saturating_channels": [NaN]}]}',
    "lists without end": "[" * 200_000,
    "objects without end": '{"products": ' * 100_000,
    "another thing": '{"products": 1}',
    "negative": '{"products": [{"node": "a", "saturating_channels": [-1]}]}',
}


@pytest.mark.parametrize("name", CHANNELS)
def test_a_file_that_names_no_channels_is_one_line(name: str, tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text(CHANNELS[name])
    with pytest.raises(DataError, match=r"s\.json: names no channels; make it with") as caught:
        read_channels(tmp_path / "s.json")
    assert "\n" not in str(caught.value)


def test_a_file_of_channels_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "s.json").open("wb") as stream:
        stream.truncate(1 << 40)
    with pytest.raises(DataError, match="more than 268,435,456 bytes"):
        read_channels(tmp_path / "s.json")


def test_another_model_is_compared_tensor_by_tensor() -> None:
    other = Simulated(program(small("qoperator")), "onnxruntime")
    theirs = other.tensors("", FEEDS[0])
    shared = [taken for taken in run(program(small()), FEEDS[0]) if taken.named[0][0] in theirs]
    assert len(shared) >= 5
    assert all(compared(taken, theirs, image="").is_exact for taken in shared)


def test_sums_are_within_what_is_possible_and_add_up() -> None:
    steps = program(small())
    known: Mapping[str, Any] = {}
    each = []
    for feed in FEEDS:
        for taken in run(steps, feed):
            found = sums_of(steps, taken)
            known = added(known, found)
            each.append(found)
    assert [s.op_type for s in known.values()] == ["QLinearConv"] * 3
    for name, sums in known.items():
        mine = [s for s in each if s is not None and s.node == name]
        assert sums.seen == max(s.seen for s in mine) <= sums.possible
        assert (sums.least >= sums.bounds.least).all()
        assert (sums.largest <= sums.bounds.largest).all()
        assert sums.possible < 1 << (sums.bits - 1)
        assert not sums.overflowing
        assert json.loads(json.dumps(sums.to_json()))["node"] == name


def hot() -> tuple[ir.Model, list[dict[str, Array]]]:
    """Weights that are all alike, and bright images: two neighbours are too much for 16 bits in most channels."""
    weights = np.abs(kernel(8, 4, 1, 1)) + np.float32(0.5)
    weights[3] = np.abs(weights[3]) * np.float32([1, 0.1, 1, 0.1]).reshape(4, 1, 1)  # one whose neighbours do not add
    bright = [{"x": np.abs(noise(1, 4, 8, 8, seed=s)) + np.float32(4)} for s in range(2)]
    return graphs.graph("y = Conv(x, w)", x="float[1,4,8,8]", w=weights), bright


def test_channels_that_saturate_get_seven_bits_and_no_others(tmp_path: Path) -> None:
    model, feeds = hot()
    first = quantised.make(model, feeds, full_range_weights=True).model
    steps = program(first)
    (sums,) = [s for s in (sums_of(steps, taken) for taken in run(steps, feeds[0])) if s is not None]
    assert sums.saturating
    assert 3 not in sums.saturating
    path = tmp_path / "sums.json"
    path.write_text(json.dumps({"products": [sums.to_json()]}))
    channels = read_channels(path)
    assert channels == ((sums.node, sums.saturating),)
    reduced = quantised.make(model, feeds, full_range_weights=True, reduced_channels=channels).model
    again = program(reduced)
    (after,) = [s for s in (sums_of(again, taken) for taken in run(again, feeds[0])) if s is not None]
    assert after.saturating == ()
    assert after.saturation is not None
    assert not after.saturation.possible[list(sums.saturating)].any()
    name = next(n for n in first.graph.initializers if n.startswith("w") and n.endswith("quantized"))
    before, now = (m.graph.initializers[name].const_value.numpy() for m in (first, reduced))
    others = [c for c in range(8) if c not in sums.saturating]
    np.testing.assert_array_equal(before[others], now[others])
    assert np.abs(now[list(sums.saturating)].astype(int)).max() <= 64


def test_a_channel_that_the_weight_does_not_have_is_refused() -> None:
    model, feeds = hot()
    prepared = prepare(model)
    name = str(next(iter(prepared.model.graph)).name)
    with pytest.raises(PlanError, match="has 8 output channels, and channel 99 is to be reduced; simulate it again"):
        plan(prepared, quantised.extrema(prepared.model, feeds), QuantSettings(reduced_channels=((name, (99,)),)))


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"products": [{"node": "a"}]}', '{"products": 3}',
                                     '{"products": [{"node": "a", "saturating_channels": [-1]}]}',
                                     '{"products": [{"node": "a", "saturating_channels": [Infinity]}]}',
                                     '{"products": [{"node": "a", "saturating_channels": [1.5]}]}',
                                     '{"products": [{"node": "a", "saturating_channels": ["1"]}]}',
                                     '{"products": [{"node": "a", "saturating_channels": [true]}]}',
                                     '{"products": [{"node": 1, "saturating_channels": [1]}]}',
                                     "[" * 200_000])  # fmt: skip
def test_a_file_that_names_no_channels_is_refused(content: str, tmp_path: Path) -> None:
    path = tmp_path / "sums.json"
    path.write_text(content)
    with pytest.raises(DataError, match="names no channels; make it with quantseg simulate"):
        read_channels(path)


def test_a_node_is_found_by_its_name_or_its_tensors_and_else_those_like_it_are_told() -> None:
    steps = program(small())
    wanted = steps.steps[1]
    for name in (wanted.name, wanted.outputs[0]):
        assert isinstance(find(steps, FEEDS[0], name), TakenStep)
        assert find(steps, FEEDS[0], name).step is wanted
    with pytest.raises(ModelError, match=f"no node or tensor '{wanted.name}x' .*like it are"):
        find(steps, FEEDS[0], f"{wanted.name}x")


def test_a_place_is_whole_numbers() -> None:
    assert place_of("0,5,12") == (0, 5, 12)
    with pytest.raises(PlanError, match="'0,a' is no place; give whole numbers"):
        place_of("0,a")


@pytest.mark.slow
@pytest.mark.parametrize(
    "nodes",
    [
        "y = Expand(x, far)",
        "y = Tile(x, times)",
        "y = Pad(x, pads)",
        "w = Expand(x, big) y = Gather<axis=0>(w, many)",
        "y = Resize(x, none, scales)",
        "h = Reshape(x, column) v = Reshape(x, row) d = DequantizeLinear(h, s, z) e = DequantizeLinear(v, s, z) "
        "f = Tile(d, tall) g = Tile(e, wide) p = MatMul(f, g) y = QuantizeLinear(p, s, z)",
    ],
)
def test_what_would_take_too_much_memory_is_refused_before_it_does(nodes: str) -> None:
    constants = {
        "far": np.array([1 << 26, 4, 6, 6]), "times": np.array([1, 1 << 12, 1 << 10, 64]),
        "tall": np.array([1 << 9, 1]), "wide": np.array([1, 1 << 9]),
        "pads": np.array([0, 0, 0, 0, 0, 0, 1 << 20, 1 << 20]), "many": np.zeros((1 << 13, 1 << 12), np.int64),
        "none": np.zeros(0, np.float32), "scales": np.array([1, 1, 3e4, 3e4], np.float32),
        "column": np.array([144, 1]), "row": np.array([1, 144]), "big": np.array([1 << 6, 4, 6, 6]),
    }  # fmt: skip
    used = {name: array for name, array in constants.items() if name in nodes}
    with pytest.raises(ModelError, match=r"more than 4 GiB"):
        running.outputs(program(qdq(nodes, **used)), {"x": np.zeros((1, 4, 6, 6), np.uint8)})


def test_weights_of_four_bits_are_constants_and_proved_too() -> None:
    body = BODY.replace("y = Conv(c, w3)", "v = Conv(c, w3) y = Conv(v, w4)")
    model = graphs.graph(body, opset=21, x="float[1,3,12,12]", **WEIGHTS, w4=kernel(3, 3, 1, 1, seed=3))
    made = quantised.make(model, FEEDS, weight=INT4).model
    steps = program(made)
    assert "Cast" in {node.op_type for node in made.graph}
    assert "Cast" not in steps_of(steps)
    sums = [s for s in (sums_of(steps, taken) for taken in run(steps, FEEDS[0])) if s is not None]
    assert len(sums) == 4
    assert all(s.seen <= s.possible for s in sums)
    found = running.outputs(steps, FEEDS[0], processor=operators.this_processor())["y"]
    np.testing.assert_array_equal(found, quantised.optimised(made, FEEDS[0])[0])


def test_a_product_of_two_tensors_is_proved_from_its_types() -> None:
    body = "f = Reshape(x, flat) t = Transpose<perm=[0,2,1]>(f) p = MatMul(f, t) y = Relu(p)"
    model = graphs.graph(body, x="float[1,3,12,12]", flat=np.array([1, 3, 144]))
    steps = program(quantised.make(model, FEEDS, qformat="qoperator").model)
    sums = [s for s in (sums_of(steps, taken) for taken in run(steps, FEEDS[0])) if s is not None]
    (found,) = sums
    assert found.largest.shape == (1,)
    assert found.seen <= found.possible <= 144 * 255 * 255
    assert found.saturation is None


def test_products_of_two_tensors_add_up_over_images_of_any_size() -> None:
    model = graphs.parse(
        """<ir_version: 8, opset_import: ["": 17]> g (uint8[n,m] x) => (uint8[m,m] y) {
           t = Transpose<perm=[1,0]>(x) y = QLinearMatMul(t, s, z, x, s, z, s, z) }""",
        s=np.float32(0.5), z=np.uint8(3),
    )  # fmt: skip
    steps, known = program(model), None
    for shape in ((4, 3), (2, 5)):
        for taken in run(steps, {"x": np.full(shape, 255, np.uint8)}):
            found = sums_of(steps, taken, known)
            known = found if known is None else known + found if found is not None else known
    assert known is not None
    assert known.seen == known.possible == 4 * 252 * 252
