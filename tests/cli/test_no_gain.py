"""A network too small to gain from int8 is refused before anything is written, with the fact and the way around."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantseg import api
from quantseg.graph import to_bytes
from quantseg.mixed_precision.targets import TargetOptions
from quantseg.refinement.gain import slowdown_without_gain
from quantseg.refinement.options import Options
from tests.support import graphs
from tests.support.command_line import shell
from tests.support.quantised import kernel

BODY = """
    a = Conv <pads = [1, 1, 1, 1]> (x, w1)
    r = Relu (a)
    b = Conv <pads = [1, 1, 1, 1]> (r, w2)
    s = Relu (b)
    y = Conv (s, w3)
"""
PORTABLE = TargetOptions()


def three_convolutions(path: Path, channels: int) -> Path:
    shapes = (channels, 3, 3, 3), (channels, channels, 3, 3), (2, channels, 1, 1)
    weights = {f"w{number}": kernel(*shape, seed=number) for number, shape in enumerate(shapes, 1)}
    path.write_bytes(to_bytes(graphs.graph(BODY, x="float[1,3,64,64]", **weights)))
    return path


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    folder = tmp_path / "calib"
    folder.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def test_it_is_refused_in_one_line_and_written_where_that_is_asked_for(tmp_path: Path, photographs: Path) -> None:
    model = three_convolutions(tmp_path / "tiny.onnx", 4)
    words = ["quantize", str(model), "--data", str(photographs), "--effort", "fast"]
    refused = shell(*words, cwd=tmp_path)
    assert refused.returncode == 2
    error = refused.stderr.strip().splitlines()[-1]
    assert "too small to gain from int8" in error
    assert "times float's latency; keep the float model, or give --allow-no-gain" in error
    assert not list(tmp_path.glob("*.int8*"))
    allowed = shell(*words, "--allow-no-gain", cwd=tmp_path)
    assert allowed.returncode == 0, allowed.stderr
    assert (tmp_path / "tiny.int8.onnx").stat().st_size > model.stat().st_size


@pytest.mark.parametrize(("channels", "gains"), [(4, False), (8, False), (64, True)])
def test_what_gains_is_a_matter_of_the_networks_width(channels: int, gains: bool, tmp_path: Path) -> None:
    path = three_convolutions(tmp_path / "net.onnx", channels)
    inputs = [np.random.default_rng(seed).random((1, 3, 64, 64), np.float32) for seed in range(2)]
    made = api.quantize(path, inputs, options=Options(effort="fast", threads=1))
    slower = slowdown_without_gain(made, path.stat().st_size, PORTABLE)
    assert (slower is None) == gains
    if slower is not None:
        assert slower > 1
    assert slowdown_without_gain(made, made.size + 1, PORTABLE) is None, "it is smaller at least"
    assert slowdown_without_gain(made, 0, TargetOptions("ort-cpu")) is None, "it is timed instead"
