"""onnxruntime-web in node: what is its own beside what every runtime does (test_runtimes.py); its process ends well."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from quantseg.errors import ModelError
from quantseg.runtimes import RUNTIMES, TimedThere, node, within
from quantseg.runtimes.execution import summary
from quantseg.runtimes.latency import timed_runs
from quantseg.runtimes.memory import peak_memory
from quantseg.runtimes.node import process_for
from quantseg.runtimes.onnxruntime_graph import NodeFacts
from quantseg.runtimes.onnxruntime_profile import read_printed
from quantseg.runtimes.products import Product
from tests.support import graphs, models, quantised
from tests.support.quantised import kernel, noise
from tests.support.web import needs_web

WEB = RUNTIMES["onnxruntime-web"]
FEED = {"x": noise(1, 3, 16, 16)}
NET = models.unet(base=4, depth=1, size=16).SerializeToString()
ENDLESS = models.text("""
<ir_version: 8, opset_import: ["": 13]>
g (int64 n, bool c) => (float y) {
  x = Constant <value_float = 1.0> ()
  y = Loop (n, c, x) <body = b (int64 i, bool c_in, float x_in) => (bool c_out, float x_out) {
    c_out = Identity (c_in)
    x_out = Identity (x_in)
  }>
}
""").SerializeToString()
FOREVER = {"n": np.array(2**62), "c": np.array(True)}


@needs_web
@pytest.mark.parametrize("threads", [1, 2])
def test_as_many_threads_as_asked_compute(threads: int) -> None:
    """WebAssembly's threads are workers of node: one more than without for each thread beside the first."""
    session = WEB.open(NET, threads=threads)
    session.run(FEED)
    names = psutil.Process(process_for(threads).pid).num_threads()
    session.close()
    assert names >= psutil.Process(process_for(1).pid).num_threads() + threads - 1


@needs_web
def test_runs_are_timed_in_the_node_process() -> None:
    """What goes through the pipe does not count: a large input takes longer to send than an Identity to run."""
    text = (
        '<ir_version: 8, opset_import: ["": 13]> g (float[1,8,1024,1024] x) => (float[1] y) { y = Slice(x, a, b, c) }'
    )
    model = graphs.parse(
        text.replace("float[1] y", "float[1,1,1,1] y"), a=_ints(0, 0, 0), b=_ints(1, 1, 1), c=_ints(1, 2, 3)
    )
    feeds = {"x": np.zeros((1, 8, 1024, 1024), np.float32)}
    session = WEB.open(quantised.to_bytes(model), threads=1)
    assert isinstance(session, TimedThere)
    start = time.perf_counter()
    session.run(feeds)
    whole = time.perf_counter() - start
    (inside,) = session.times(feeds, warm_up=1, runs=1)
    session.close()
    assert 0 < inside < whole


def _ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@needs_web
def test_timed_runs_are_as_many_as_asked() -> None:
    seconds = timed_runs(WEB, NET, FEED, 1, 4)
    assert len(seconds) == 4
    assert min(seconds) > 0


@needs_web
def test_a_convolution_in_integers_has_its_size_and_layout() -> None:
    made = quantised.make(
        graphs.graph("y = Conv<pads=[1,1,1,1]>(x, w)", x="float[1,8,12,12]", w=kernel(16, 8, 3, 3)),
        [{"x": noise(1, 8, 12, 12)}],
    )
    nodes = WEB.executed(quantised.to_bytes(made.model), {"x": noise(1, 8, 12, 12)}, threads=1, runs=2)
    (conv,) = (one for one in nodes if one.is_convolution)
    assert (conv.op_type, conv.kind) == ("QLinearConv", "int8")
    assert conv.product == Product(16 * 8 * 9 * 144, (8, 16), (3, 3), 1, (1, 12, 12))
    assert summary(nodes).seconds > 0


def test_a_profile_is_read_in_either_order() -> None:
    """Up to 1.30 events are ordered by their end, later by their beginning."""
    facts = {("Relu", "a"): NodeFacts()}

    def event(name: str, ts: int, dur: int) -> dict[str, object]:
        kernel = name.endswith("_kernel_time")
        shapes = {"input_type_shape": [{"float": [1]}], "output_type_shape": [{"float": [1]}]}
        arguments = {"op_name": "Relu", "node_index": "0", **shapes} if kernel else {}
        return {"cat": "Node" if kernel else "Session", "name": name, "ts": ts, "dur": dur, "args": arguments}

    events = [
        event("a_kernel_time", 2, 9),
        event("model_run", 1, 20),
        event("a_kernel_time", 31, 5),
        event("model_run", 30, 8),
    ]
    for listed in (events, sorted(events, key=lambda one: int(str(one["ts"])))):
        (found,) = read_printed(json.dumps(listed), facts, last=1)
        assert found.seconds == pytest.approx(5e-6)


@needs_web
def test_memory_grows_with_the_input(tmp_path: Path) -> None:
    found = []
    for size in (32, 512):
        path = tmp_path / f"{size}.onnx"
        path.write_bytes(models.unet(base=4, depth=1, size=size).SerializeToString())
        found.append(peak_memory(path, {"x": np.zeros((1, 3, size, size), np.float32)}, runtime=WEB, threads=1))
    small, large = found
    if small is None or large is None:
        pytest.skip("this system does not tell the peak of another process")
    assert large > small + 512 * 512 * 3 * 4


@needs_web
def test_a_run_that_takes_too_long_is_ended_and_the_next_model_runs() -> None:
    session = within(WEB, 0.5).open(ENDLESS, threads=1)
    with pytest.raises(ModelError, match=r"took more than 0\.5 s for one image; give more with timeout=…"):
        session.run(FOREVER)
    with pytest.raises(ModelError, match="its node process has ended"):
        session.run(FOREVER)
    session.close()
    WEB.open(NET, threads=1).close()


@needs_web
def test_a_process_that_dies_is_noticed() -> None:
    session = WEB.open(NET, threads=1)
    os.kill(process_for(1).pid, signal.SIGKILL)
    with pytest.raises(ModelError, match="its node process"):
        session.run(FEED)
    session.close()
    assert WEB.open(NET, threads=1).run(FEED)


@needs_web
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_no_process_outlives_its_parent_even_in_an_endless_run(tmp_path: Path) -> None:
    text = f"""
import sys, threading
sys.path.insert(0, {str(Path(__file__).parents[2])!r})
from tests.runtimes.test_onnxruntime_web import ENDLESS, FOREVER, WEB
from quantseg.runtimes.node import process_for
session = WEB.open(ENDLESS, threads=1)
print(process_for(1).pid, flush=True)
session.run(FOREVER)
"""
    parent = subprocess.Popen([sys.executable, "-c", text], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    time.sleep(0.3)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    psutil.wait_procs([child], timeout=10)
    assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE


@needs_web
def test_a_process_that_does_not_begin_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    script = tmp_path / "broken.mjs"
    script.write_text("throw new Error('no SIMD here');")
    monkeypatch.setattr(node, "_SCRIPT", script)
    monkeypatch.setattr(node, "_processes", {})
    with pytest.raises(ModelError, match=r"its node process ended with code 1: .*no SIMD here"):
        WEB.open(NET, threads=1)
