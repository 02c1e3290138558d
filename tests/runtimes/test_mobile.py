"""What NNAPI and CoreML would take of a model, by onnxruntime's checker; .ort files as its converter's."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from quantseg.errors import ModelError
from quantseg.evaluation.reference_models import demo_model
from quantseg.graph import to_bytes
from quantseg.runtimes.mobile import MobileFit, mobile_fits
from quantseg.runtimes.ort_format import to_ort
from tests.conftest import SIZE
from tests.support import graphs
from tests.support.command_line import Command

CHAIN = "a = Conv(x, w) b = Relu(a) c = Elu(b) y = Conv(c, v)"


def test_partitions_are_broken_by_what_a_provider_lacks() -> None:
    weights = {"w": graphs.noise(2, 2, 1, 1), "v": graphs.noise(2, 2, 1, 1)}
    model = to_bytes(graphs.graph(CHAIN, x="float[1,2,6,6]", y="float[1,2,6,6]", **weights))
    nnapi, network, program = mobile_fits(model)
    assert nnapi == MobileFit("NNAPI", 1, 4, 4, (), 0, "yes")
    assert network == MobileFit("CoreML (NeuralNetwork)", 2, 3, 4, ("Elu",), 0, "no")
    assert program == MobileFit("CoreML (MLProgram)", 1, 4, 4, (), 0, "yes")
    assert nnapi.sentence == "NNAPI: 1 partition, 4 of 4 nodes: yes"
    assert network.sentence == "CoreML (NeuralNetwork): 2 partitions, 3 of 4 nodes: no; it has no Elu"


def test_open_sizes_are_told() -> None:
    model = to_bytes(
        graphs.graph(
            CHAIN, x="float[N,2,H,6]", y="float[N,2,H,6]", w=graphs.noise(2, 2, 1, 1), v=graphs.noise(2, 2, 1, 1)
        )
    )
    nnapi = mobile_fits(model)[0]
    assert nnapi.open_shapes > 0
    assert (nnapi.partitions, nnapi.taken, nnapi.advice) == (1, 4, "yes")
    assert "; fix the open sizes first (python -m onnxruntime.tools.make_dynamic_shape_fixed), " in nnapi.sentence


def test_float_with_convtranspose_is_no_single_partition_and_its_int8_form_is(
    int8_model: Path, float_model: Path
) -> None:
    """What README says of NNAPI."""
    assert {node.op_type for node in onnx.load(float_model).graph.node} >= {"ConvTranspose"}
    in_float, in_integers = mobile_fits(float_model)[0], mobile_fits(int8_model)[0]
    assert "ConvTranspose" in in_float.refused
    assert in_float.partitions > 1
    assert (in_integers.partitions, in_integers.advice) == (1, "yes")
    assert in_integers.taken == in_integers.nodes


def test_no_model() -> None:
    with pytest.raises(ModelError, match="the mobile checker cannot look at it"):
        mobile_fits(b"none")


def test_inspect_says_a_line_for_each_provider(quantseg: Command, int8_model: Path, tmp_path: Path) -> None:
    outcome = quantseg("inspect", int8_model, "--mobile", "--runs", 1, "--json", tmp_path / "i.json")
    assert outcome.code == 0
    lines = outcome.out.splitlines()
    assert [line.partition(":")[0] for line in lines if "partition" in line] == [
        "NNAPI",
        "CoreML (NeuralNetwork)",
        "CoreML (MLProgram)",
    ]
    assert '"mobile": [' in (tmp_path / "i.json").read_text()
    assert "NNAPI" not in quantseg("inspect", int8_model, "--runs", 1).out


@pytest.mark.slow
def test_an_ort_file_is_what_the_converter_writes(int8_model: Path, tmp_path: Path) -> None:
    """As long, and with the same outputs; onnxruntime orders what is in it another way each time."""
    copy = tmp_path / "net.onnx"
    shutil.copyfile(int8_model, copy)
    words = ["-m", "onnxruntime.tools.convert_onnx_models_to_ort", str(copy), "--optimization_style", "Fixed"]
    subprocess.run([sys.executable, *words], check=True, capture_output=True)
    contents = to_ort(int8_model.read_bytes()), copy.with_suffix(".ort").read_bytes(), int8_model.read_bytes()
    assert len(contents[0]) == len(contents[1])
    x = np.random.default_rng(0).random((1, 3, SIZE, SIZE), np.float32)
    outputs = [
        onnxruntime.InferenceSession(one, providers=["CPUExecutionProvider"]).run(None, {"x": x}) for one in contents
    ]
    assert np.array_equal(outputs[0][0], outputs[1][0])
    assert np.array_equal(outputs[0][0], outputs[2][0])


def test_no_model_gives_no_ort_file() -> None:
    with pytest.raises(ModelError, match="onnxruntime cannot open it"):
        to_ort(b"none")


@pytest.mark.slow
def test_the_demo_s_model() -> None:
    assert "ConvTranspose" in mobile_fits(demo_model())[0].refused
