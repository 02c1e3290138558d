"""quantseg simulate and quantseg explain from end to end, and what they refuse."""

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.support import operators
from tests.support.command_line import Command


@pytest.fixture
def place(float_model: Path, int8_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with net.onnx, net.int8.onnx and data/."""
    shutil.copyfile(float_model, tmp_path / "net.onnx")
    shutil.copyfile(int8_model, tmp_path / "net.int8.onnx")
    shutil.copytree(images, tmp_path / "data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(place: Path) -> set[str]:
    return {path.relative_to(place).as_posix() for path in place.rglob("*")}


def test_a_model_is_simulated_compared_and_proved(quantseg: Command, place: Path) -> None:
    done = quantseg("simulate", "net.int8.onnx", "--data", "data", "--against", "onnxruntime", "--json", "sums.json")
    assert done.code == 0
    assert "integer tensors equal bit for bit" in done.out
    assert "the model as users run it: outputs equal bit for bit" in done.out
    assert "int32: no accumulator can overflow" in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    found = json.loads((place / "sums.json").read_text())
    assert found["comparison"]["exact"]
    assert found["processor"] == operators.this_processor().name
    assert f"kernels: {found['processor']} (" in done.out
    assert "this machine, found by trying" in done.out
    assert found["comparison"]["differences"] == []
    assert len(found["images"]) == 3
    assert {p["op_type"] for p in found["products"]} == {"QLinearConv"}
    assert found["machine"]["packages"]["onnxruntime"]


def test_verbose_lists_every_product(quantseg: Command, place: Path) -> None:
    short, long = (
        quantseg("simulate", "net.int8.onnx", "--data", "data", "--limit", 1, *more).out for more in ((), ("-v",))
    )
    assert "more products; --verbose lists all" in short
    assert "more products" not in long
    assert len(long.splitlines()) > len(short.splitlines())


def test_a_saved_run_is_the_same_bytes_and_equal_and_another_rounding_is_not(quantseg: Command, place: Path) -> None:
    common = ("simulate", "net.int8.onnx", "--data", "data", "--no-proof")
    for name in ("one.npz", "other.npz"):
        assert quantseg(*common, "-o", name).out.endswith(f"wrote {name}\n")
    assert (place / "one.npz").read_bytes() == (place / "other.npz").read_bytes()
    same = quantseg(*common, "--against", "one.npz")
    assert same.code == 0
    assert "equal bit for bit" in same.out
    differs = quantseg(*common, "--against", "one.npz", "--rounding", "gemmlowp")
    assert differs.code == 1
    assert "first difference: node " in differs.out
    assert " here, " in differs.out


@pytest.mark.slow
def test_another_processor_computes_otherwise_where_weights_saturate(quantseg: Command, place: Path) -> None:
    """Every weight 127: on AVX2 sums of two products saturate, simulated and in onnxruntime where its kernels do so."""
    model = onnx.load(place / "net.int8.onnx")
    for tensor in model.graph.initializer:
        if tensor.data_type == onnx.TensorProto.INT8 and len(tensor.dims) == 4:
            whole = np.full(tensor.dims, 127, np.int8)
            tensor.CopyFrom(onnx.numpy_helper.from_array(whole, tensor.name))
    onnx.save(model, place / "full.onnx")
    common = ("simulate", "full.onnx", "--data", "data", "--limit", 1)
    saved = quantseg(*common, "-o", "exact.npz")
    assert saved.code == 0, saved.err
    assert "kernels: exact (x86-64 with VNNI or AMX)" in saved.out
    for processor, code in (("exact", 0), ("avx2", 1)):
        done = quantseg(*common, "--processor", processor, "--against", "exact.npz")
        assert done.code == code, done.err
        assert f"kernels: {processor} (" in done.out
    here = operators.this_processor()
    for processor, code in ((here.name, 0), ("exact" if here.saturates else "avx2", 1)):
        done = quantseg(*common, "--processor", processor, "--against", "onnxruntime")
        assert done.code == code, done.err


def test_qdq_and_qoperator_are_compared_with_each_other(quantseg: Command, place: Path) -> None:
    for qformat in ("qdq", "qoperator"):
        words = ("--data", "data", "--effort", "fast", "--format", qformat, "-o", f"{qformat}.onnx")
        assert quantseg("quantize", "net.onnx", *words).code == 0
    done = quantseg("simulate", "qdq.onnx", "--data", "data", "--no-proof", "--against", "qoperator.onnx")
    assert done.code == 0
    assert "against qoperator.onnx: " in done.out


@pytest.mark.slow
def test_reduced_channels_go_from_simulate_to_quantize(quantseg: Command, place: Path) -> None:
    assert quantseg("simulate", "net.int8.onnx", "--data", "data", "--json", "sums.json").code == 0
    found = json.loads((place / "sums.json").read_text())
    node = found["products"][2]
    node["saturating_channels"] = [1]
    (place / "sums.json").write_text(json.dumps(found))
    done = quantseg("quantize", "net.onnx", "--data", "data", "--reduce-channels", "sums.json", "-o", "r.onnx",
                    "--json", "plan.json")  # fmt: skip
    assert done.code == 0, done.err
    plan = json.loads((place / "plan.json").read_text())
    assert plan["settings"]["reduced_channels"][node["node"]] == [1]
    assert quantseg("simulate", "r.onnx", "--data", "data", "--against", "onnxruntime").code == 0


def test_a_value_is_explained_beside_the_float_model(quantseg: Command, place: Path) -> None:
    name = next(node.name for node in onnx.load(place / "net.int8.onnx").graph.node if node.op_type == "Conv")
    done = quantseg("explain", "net.int8.onnx", name, "--data", "data", "--at", "0,1,5,6", "--json", "value.json")
    assert done.code == 0, done.err
    for line in ("q = clip(round(", "S_w = ", "accumulator", "M in fixed point", "plus Z_y", "real value", "steps off"):
        assert line in done.out
    assert max(map(len, done.out.splitlines())) <= 100
    value = json.loads((place / "value.json").read_text())
    assert value["place"] == [0, 1, 5, 6]
    assert value["total"] == sum(term["value"] for term in value["terms"])
    *_, inner, last = (node.name for node in onnx.load(place / "net.int8.onnx").graph.node if node.op_type == "Conv")
    beside = quantseg("explain", "net.int8.onnx", inner, "--data", "data", "--reference", "net.onnx")
    assert beside.code == 0, beside.err
    assert "the float model has" in beside.out
    rewritten = quantseg("explain", "net.int8.onnx", last, "--data", "data", "--reference", "net.onnx")
    assert rewritten.code == 2
    assert "the model has no such tensor: it is of another model, or a rewrite for integers made it" in rewritten.err
    noise = quantseg("explain", "net.int8.onnx", name)
    assert noise.code == 0
    assert noise.out == quantseg("explain", "net.int8.onnx", name).out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("simulate net.onnx --data data", "net.onnx: is a float model; quantise it first: quantseg quantize net.onnx"),
        ("simulate net.int8.onnx --data none", "none: no such folder"),
        ("simulate net.int8.onnx --data data --rounding up", "'up' is no rounding; choose one of onnxruntime"),
        (
            "simulate net.int8.onnx --data data --processor m68k",
            "'m68k' is no processor; choose one of exact, avx2, sse, neon, wasm",
        ),
        ("simulate net.int8.onnx --data data --against ort", "'ort' is neither onnxruntime, a saved run nor an .onnx"),
        ("simulate net.int8.onnx --data data --against data/images/0.png", "data/images/0.png: is no saved run"),
        ("simulate net.int8.onnx --data data --against net.onnx", "net.onnx: is a float model"),
        ("simulate net.int8.onnx --data data -o net.int8.onnx", "net.int8.onnx: is another file of this command"),
        ("simulate net.int8.onnx --data data --json x.json -o x.json", "x.json: is another file of this command"),
        ("simulate net.int8.onnx --data data --size 8x8", "input.size: 8x8 contradicts input"),
        ("simulate odd.onnx --data data", "is Einsum, which the simulator does not know"),
        ("explain net.int8.onnx nothing", "no node or tensor 'nothing'"),
        ("explain net.onnx any", "net.onnx: is a float model"),
        ("explain net.int8.onnx {node} --at 0,0", "has no value at [0, 0]"),
        ("explain net.int8.onnx {node} --at a", "'a' is no place"),
        ("explain net.int8.onnx {node} --rounding up", "'up' is no rounding"),
        ("explain net.int8.onnx {node} --reference none.onnx", "none.onnx: no such file"),
        ("quantize net.onnx --data data --reduce-channels data", "data: cannot be read"),
        ("quantize net.onnx --data data --reduce-channels net.onnx", "net.onnx: names no channels"),
        ("quantize net.onnx --data data --reduce-channels far.json", "channel 999 is to be reduced"),
        ("quantize net.onnx --data data --reduce-channels other.json", "no node 'elsewhere'"),
    ],
)
def test_what_is_wrong_is_one_line_and_leaves_nothing(
    command: str, message: str, quantseg: Command, place: Path
) -> None:
    model = onnx.load(place / "net.int8.onnx")
    node = next(node.name for node in model.graph.node if node.op_type == "Conv")
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    pool.ClearField("attribute")
    pool.op_type = "Einsum"
    pool.attribute.append(onnx.helper.make_attribute("equation", "abcd->abcd"))
    onnx.save(model, place / "odd.onnx")
    for name, product in (("far", {"node": node, "saturating_channels": [999]}),
                          ("other", {"node": "elsewhere", "saturating_channels": [0]})):  # fmt: skip
        (place / f"{name}.json").write_text(json.dumps({"products": [product]}))
    before = files(place)
    done = quantseg(*(word.format(node=node) for word in command.split()))
    assert done.code == 2
    (line,) = (line for line in done.err.splitlines() if not line.startswith("note: "))
    assert line.startswith("error: ")
    assert message in line
    assert files(place) == before


def test_models_without_a_tensor_in_common_are_no_comparison(quantseg: Command, place: Path) -> None:
    model = onnx.load(place / "net.int8.onnx")
    for node in model.graph.node:
        node.input[:] = [f"{name}_" if name and name != "x" else name for name in node.input]
        node.output[:] = [f"{name}_" for name in node.output]
    for tensor in (*model.graph.initializer, *model.graph.output):
        tensor.name += "_"
    onnx.save(model, place / "renamed.onnx")
    done = quantseg("simulate", "net.int8.onnx", "--data", "data", "--against", "renamed.onnx", "-o", "run.npz")
    assert done.code == 2
    assert "nothing to compare: no tensor has the same name in both" in done.err
    assert not (place / "run.npz").exists()
