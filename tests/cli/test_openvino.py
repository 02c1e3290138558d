"""quantize and search --target openvino: one file that onnxruntime opens too, and that OpenVINO fuses."""

import json
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg import api, graph
from quantseg.data.sources import opener
from quantseg.errors import PlanError
from quantseg.evaluation.agreement import evaluate
from quantseg.evaluation.predictions import open_pair
from quantseg.mixed_precision.target_facts import FUSED_BY_OPENVINO
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.float_model import read_float_model
from quantseg.quantization.writing import written
from quantseg.refinement.options import Options
from quantseg.runtimes import RUNTIMES
from tests.support import graphs
from tests.support.candidates import of_file
from tests.support.command_line import Command
from tests.support.quantised import kernel, noise

needs_openvino = pytest.mark.skipif(find_spec("openvino") is None, reason="openvino is not installed: an extra")

NETWORK = """
    a = Conv <pads = [1,1,1,1]> (x, w1, b1)
    h = HardSwish(a)
    d = Conv <group = 8, pads = [1,1,1,1]> (h, w2, b1)
    s = HardSwish(d)
    q = GlobalAveragePool(s)
    e = Conv(q, w3)
    g = HardSigmoid(e)
    m = Mul(s, g)
    c = Conv(m, w3, b1)
    p = PRelu(c, slopes)
    y = Conv(p, w4)
"""
FUSED = ("HardSigmoid", "HardSwish", "PRelu")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A block of MobileNetV3 and a PRelu, for the images of conftest."""
    shapes = {"w1": (8, 3, 3, 3), "w2": (8, 1, 3, 3), "w3": (8, 8, 1, 1), "w4": (3, 8, 1, 1)}
    weights = {name: kernel(*shape, seed=number) * 2 for number, (name, shape) in enumerate(shapes.items())}
    slopes = np.linspace(-0.5, 0.9, 8, dtype=np.float32).reshape(8, 1, 1)
    size = "float[1,{},32,32]"
    made = graphs.graph(NETWORK, opset=14, x=size.format(3), y=size.format(3), b1=noise(8), slopes=slopes, **weights)
    path = tmp_path_factory.mktemp("network") / "net.onnx"
    graph.save(made, path)
    return path


def operators(path: Path) -> list[str]:
    return [node.op_type for node in onnx.load(path).graph.node]


@pytest.mark.parametrize("effort", ["fast", "balanced"])
def test_the_file_runs_in_onnxruntime_as_exactly_as_the_portable_one(
    quantseg: Command, network: Path, images: Path, tmp_path: Path, effort: str
) -> None:
    found = {}
    for target in ("portable", "openvino"):
        path = tmp_path / f"{target}.onnx"
        words = ["--data", images, "--effort", effort, "--target", target, "-o", path, "--json", tmp_path / "p.json"]
        outcome = quantseg("quantize", network, *words, "--verbose")
        assert outcome.code == 0, outcome.err
        assert ("onnxruntime does not, and is slower" in " ".join(outcome.out.split())) == (target == "openvino")
        model = api.load(network)
        with open_pair(network, path, threads=1) as (reference, candidate):
            judged = evaluate(reference, candidate, opener(images)(model.recipe, model.input), model.recipe)
        assert judged.sqnr_db is not None
        found[target] = judged
    assert found["openvino"].agreement > found["portable"].agreement - 0.02  # of 3,072 pixels of noise
    assert found["openvino"].sqnr_db > found["portable"].sqnr_db - 0.5
    assert not {*FUSED} & {*operators(tmp_path / "portable.onnx")}
    assert {*FUSED} <= {*operators(tmp_path / "openvino.onnx")}
    plan = json.loads((tmp_path / "p.json").read_text())
    assert [node["op_type"] for node in plan["nodes"] if node["precision"] == "float"].count("HardSwish") == 2


def test_a_calibration_file_was_made_of_other_tensors(
    quantseg: Command, network: Path, images: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "ranges.npz"
    assert quantseg("calibrate", network, "--data", images, "-o", kept).code == 0
    outcome = quantseg("quantize", network, "--calibration", kept, "--target", "openvino", "-o", tmp_path / "m.onnx")
    assert outcome.code == 2
    assert "--target openvino observes other tensors than a calibration file has; give --data" in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not (tmp_path / "m.onnx").exists()


def test_search_writes_it_too(quantseg: Command, network: Path, images: Path, tmp_path: Path) -> None:
    words = ["--data", images, "--calib", images, "--evaluations", 1, "--effort", "fast", "--max-iou-drop", 100]
    outcome = quantseg("search", network, *words, "--target", "openvino", "-o", tmp_path / "m.onnx")
    assert outcome.code == 0, outcome.err
    assert {*FUSED} <= {*operators(tmp_path / "m.onnx")}


def test_other_formats_write_no_product_without_a_grid(network: Path, images: Path) -> None:
    candidate = of_file(network, images, Options(target=TargetOptions("openvino"), threads=1))
    assert written(candidate).qformat == "qdq"
    for qformat in ("qoperator", "channels-last"):
        with pytest.raises(PlanError, match=f"^activations are fused into products in qdq, not in {qformat}$"):
            written(candidate, qformat)


@needs_openvino
def test_openvino_fuses_every_activation_and_gives_onnxruntimes_masks(
    network: Path, images: Path, tmp_path: Path
) -> None:
    found, fusing = {}, FUSED_BY_OPENVINO
    for name, kept in {"openvino": fusing, "unfused": replace(fusing, activations=frozenset())}.items():
        model = read_float_model(network, fusing=kept)
        given = api.calibrate(model, images, options=Options(threads=1))
        plain = Candidate(model, given.calibration.table, Options().settings)
        written(plain).save(tmp_path / f"{name}.onnx")
        feeds = {model.input.name: np.random.default_rng(0).random((1, 3, 32, 32), np.float32)}
        found[name] = RUNTIMES["openvino"].executed(tmp_path / f"{name}.onnx", feeds, threads=1, runs=1)
    layers = {name: [node.op_type for node in nodes] for name, nodes in found.items()}
    assert layers["unfused"].count("Subgraph") == 2  # a hard-swish, and the PRelu
    assert "Subgraph" not in layers["openvino"]
    assert {node.kind for node in found["openvino"] if node.op_type == "Conv"} == {"int8"}
    model = api.load(network)
    path = tmp_path / "openvino.onnx"
    runtimes = (RUNTIMES["openvino"], RUNTIMES["onnxruntime"])
    sessions = [runtime.open(path, threads=1) for runtime in runtimes]
    try:
        images = opener(images)(model.recipe, model.input)
        for number in range(len(images.names)):
            feeds = {model.input.name: images.load(number).tensor}
            one, other = (session.run(feeds)[0].argmax(1) for session in sessions)
            assert (one == other).mean() > 0.99
    finally:
        for session in sessions:
            session.close()


@needs_openvino
@pytest.mark.skipif(find_spec("nncf") is None, reason="nncf is not installed: an extra")
def test_a_report_stands_nncf_beside(quantseg: Command, network: Path, images: Path, tmp_path: Path) -> None:
    words = ("--data", images, "--effort", "fast", "--rounds", "1", "--openvino", "--output", tmp_path)
    outcome = quantseg("report", network, *words)
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "net" / "report.json").read_text())
    (nncf,) = report["peers"]
    assert (nncf["name"], nncf["failed"]) == ("NNCF", None)
    assert 0 < nncf["evaluation"]["agreement"] <= 1
    assert nncf["model"]["size"] > 0
    assert len(nncf["model"]["sha256"]) == 64
    assert "NNCF" in (tmp_path / "net" / "report.md").read_text()
