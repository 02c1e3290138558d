from pathlib import Path

import numpy as np
import onnx
import pytest

from quantseg.errors import ModelError
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.memory import peak_memory
from tests.support import models

MIB = 1 << 20
FEED = {"n": np.array([32 * MIB // 4], np.int64)}

GROW = models.text("""
<ir_version: 8, opset_import: ["": 13]>
g (int64[1] n) => (float total) { big = ConstantOfShape(n)  total = ReduceSum <keepdims = 0> (big) }
""")
"""Takes as much memory as it is told to."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(GROW, tmp_path / "grow.onnx")
    return tmp_path / "grow.onnx"


def test_a_tensor_counts_and_the_parents_memory_does_not(model: Path) -> None:
    held = np.ones(256 * MIB // 8)
    measured = peak_memory(model, FEED, runtime=RUNTIMES["onnxruntime"], threads=1)
    assert held.nbytes == 256 * MIB
    if measured is None:
        pytest.skip("this system does not tell a process's peak memory")
    assert 32 * MIB <= measured < 128 * MIB


def test_the_childs_error_is_raised_here(model: Path) -> None:
    with pytest.raises(ModelError, match=r"grow\.onnx: inputs \[\] were given"):
        peak_memory(model, {}, runtime=RUNTIMES["onnxruntime"], threads=1)
