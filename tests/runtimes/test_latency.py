from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

from quantseg.errors import ModelError
from quantseg.graph import TensorSpec
from quantseg.runtimes import RUNTIMES, latency
from quantseg.runtimes.latency import Turns, benchmark, random_feeds
from quantseg.runtimes.on_disk import file_bytes
from tests.support import models


class StagedRuntime:
    """Runs nothing: keeps a diary, and moves a clock by the milliseconds staged for each model."""

    name = version = "staged"

    def __init__(self, milliseconds: Mapping[str, list[float]]) -> None:
        self.milliseconds = {name: iter(values) for name, values in milliseconds.items()}
        self.now = 0.0
        self.open_sessions = 0
        self.diary: list[str] = []
        self.fed: list[Mapping[str, Any]] = []

    def perf_counter(self) -> float:
        return self.now

    def open(self, model: Path, *, threads: int, spinning: bool = True) -> "StagedSession":
        assert self.open_sessions == 0, "two sessions alive at once"
        self.open_sessions += 1
        self.diary.append(model.stem)
        return StagedSession(self, model.stem)


class StagedSession:
    inputs = (TensorSpec("x", "float32", (1, 3, 8, 8)),)

    def __init__(self, runtime: StagedRuntime, model: str) -> None:
        self.runtime, self.model, self.warm = runtime, model, 0

    def run(self, feeds: Mapping[str, Any]) -> None:
        self.runtime.fed.append(feeds)
        self.warm += 1
        if self.warm > 3:
            self.runtime.now += next(self.runtime.milliseconds[self.model]) / 1e3
        else:
            self.runtime.now += 1e6

    def close(self) -> None:
        self.runtime.open_sessions -= 1


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    paths = {name: tmp_path / f"{name}.onnx" for name in ("slow", "fast")}
    for path in paths.values():
        onnx.save(models.unet(base=2, depth=1, size=8), path)
    return paths


@pytest.fixture
def staged(monkeypatch: pytest.MonkeyPatch) -> StagedRuntime:
    runtime = StagedRuntime({"slow": [10, 20, 30, 80], "fast": [5, 5, 6, 4]})
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=runtime.perf_counter))
    monkeypatch.setattr(latency, "peak_memory", lambda *_, **__: 77)
    return runtime


def test_models_take_turns_and_one_session_is_alive(staged: StagedRuntime, paths: dict[str, Path]) -> None:
    feeds = {name: {"x": np.zeros(1)} for name in paths}
    benchmark(paths, feeds, runtime=staged, threads=1, turns=Turns(2, 2))
    assert staged.diary == ["slow", "fast", "slow", "fast"]
    assert staged.open_sessions == 0


def test_figures_leave_the_warm_up_out(staged: StagedRuntime, paths: dict[str, Path]) -> None:
    slow, fast = benchmark(paths, runtime=staged, threads=1, turns=Turns(2, 2))
    assert (slow.name, fast.name) == ("slow", "fast")
    assert slow.median_ms == pytest.approx(25)
    assert slow.minimum_ms == pytest.approx(10)
    assert slow.p10_ms == pytest.approx(13)
    assert slow.p90_ms == pytest.approx(65)
    assert slow.ratio == 1
    assert fast.ratio == pytest.approx(25 / 5)
    assert fast.file_bytes == paths["fast"].stat().st_size
    assert fast.peak_memory_bytes == 77


def test_each_model_may_have_a_runtime_of_its_own(
    staged: StagedRuntime, paths: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = StagedRuntime({"fast": [8, 8, 8, 8]})
    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: staged.now + other.now))
    slow, fast = benchmark(paths, runtime={"slow": staged, "fast": other}, threads=1, turns=Turns(2, 2))
    assert (staged.diary, other.diary) == (["slow"] * 3, ["fast"] * 3)  # once to draw the feeds
    assert fast.ratio == pytest.approx(slow.median_ms / 8)


def test_given_feeds_are_used_and_others_drawn(staged: StagedRuntime, paths: dict[str, Path]) -> None:
    given = {"x": np.full((1, 3, 8, 8), 7, np.float32)}
    benchmark(paths, {"slow": given}, runtime=staged, threads=1, turns=Turns(1, 1))
    first, last = staged.fed[0], staged.fed[-1]
    assert first is given
    np.testing.assert_array_equal(last["x"], random_feeds(StagedSession.inputs)["x"])


def test_progress_counts_every_turn(staged: StagedRuntime, paths: dict[str, Path]) -> None:
    seen: dict[str, int] = {}

    def track(items: Any, *, total: int, what: str) -> Any:
        items = list(items)
        assert len(items) == total
        seen[what] = total
        return items

    benchmark(paths, runtime=staged, threads=1, turns=Turns(2, 2), track=track)
    assert seen == {"measure memory": 2, "time models": 4}


def test_a_real_benchmark_is_in_order(paths: dict[str, Path]) -> None:
    (timing,) = benchmark({"one": paths["slow"]}, runtime=RUNTIMES["onnxruntime"], threads=1, turns=Turns(2, 2))
    assert 0 < timing.minimum_ms <= timing.p10_ms <= timing.median_ms <= timing.p90_ms
    assert timing.ratio == 1


def test_no_models_give_no_rows() -> None:
    assert benchmark({}, runtime=RUNTIMES["onnxruntime"], threads=1) == ()


def test_a_damaged_model_is_refused_before_any_timing(staged: StagedRuntime, paths: dict[str, Path]) -> None:
    paths["fast"].write_bytes(paths["fast"].read_bytes()[:100])
    with pytest.raises(ModelError, match=r"fast\.onnx"):
        benchmark(paths, runtime=staged, threads=1)
    assert staged.diary == []


def test_random_feeds_are_the_same_every_time_and_fit() -> None:
    inputs = (
        TensorSpec("image", "float32", (None, 3, 4, 5)),
        TensorSpec("bytes", "uint8", (2, 2)),
        TensorSpec("flag", "bool", ()),
    )
    first, second = random_feeds(inputs), random_feeds(inputs)
    for spec in inputs:
        np.testing.assert_array_equal(first[spec.name], second[spec.name])
        assert first[spec.name].dtype == spec.dtype
    assert first["image"].shape == (1, 3, 4, 5)


def test_random_feeds_refuse_a_dynamic_size() -> None:
    with pytest.raises(ModelError, match=r"'x' has dynamic sizes.*give data"):
        random_feeds([TensorSpec("x", "float32", (1, 3, None, None))])


@pytest.mark.parametrize("shape", [(1, 3, 2**40, 2**40), (1, 3, -8, 8), (2**29,)])
def test_random_feeds_refuse_a_size_before_it_takes_memory(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match=r"input 'x' float32 \S+ is of a size that no tensor has"):
        random_feeds([TensorSpec("x", "float32", shape)])


def test_file_bytes_count_external_data_once(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(
        models.unet(base=2, depth=1, size=8),
        path,
        save_as_external_data=True,
        location="weights",
        size_threshold=0,
    )
    weights = (tmp_path / "weights").stat().st_size
    assert weights > 0
    assert file_bytes(path) == path.stat().st_size + weights
