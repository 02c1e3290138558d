"""Runs that take too long are ended, and only those."""

import pickle
import threading
import time
from contextlib import closing

import numpy as np
import pytest

from quantseg.errors import ModelError
from quantseg.files import limits
from quantseg.graph import to_bytes
from quantseg.runtimes import DEFAULT, RUNTIMES, WEIGHTS_AS_WRITTEN, as_written, within
from quantseg.runtimes.deadlines import Deadlines
from tests.support.graphs import assert_same, graph

X = {"x": np.ones((1, 2, 6, 6), np.float32)}


def while_positive(name: str = "slow") -> bytes:
    """y = x, by a Loop that goes on as long as the largest number of x is positive: endless for all but x <= 0."""
    head = "b (int64 i, bool c, float[1,2,6,6] v) => (bool d, float[1,2,6,6] w)"
    body = f"{head} {{ m = ReduceMax(v) d = Greater(m, zero) w = Identity(v) }}"
    constants = {"zero": np.zeros((1, 1, 1, 1), np.float32), "start": np.array(True)}
    model = graph(f"l = Loop <body = {body}> (, start, x) y = Abs(l)", **constants)
    model.graph[0].name = name
    return to_bytes(model)


def test_a_loop_without_end_is_ended_and_named() -> None:
    with closing(within(DEFAULT, 0.5).open(while_positive(), threads=1)) as session:
        start = time.monotonic()
        with pytest.raises(
            ModelError, match=r"^model: took more than 0\.5 s for one image in Loop 'slow'; .*timeout=…"
        ):
            session.run(X)
        assert time.monotonic() - start < 30
        (one,) = session.run({"x": -X["x"]})  # the session lives on
        assert_same([one], [X["x"]], tolerance=0)


def test_runs_side_by_side_have_each_their_own_time() -> None:
    results: dict[str, object] = {}

    def run(name: str, seconds: float, sign: float) -> None:
        with closing(within(DEFAULT, seconds).open(while_positive(name), threads=1)) as session:
            try:
                results[name] = session.run({"x": sign * X["x"]})[0].shape
            except ModelError as error:
                results[name] = str(error)

    threads = [threading.Thread(target=run, args=of) for of in (("a", 0.3, 1.0), ("b", 0.6, 1.0), ("c", 0.3, -1.0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert "more than 0.3 s" in str(results["a"])
    assert "more than 0.6 s" in str(results["b"])
    assert results["c"] == (1, 2, 6, 6)


def test_the_profile_of_a_model_has_the_time_limit_too() -> None:
    with pytest.raises(ModelError, match=r"took more than 0\.5 s"):
        within(DEFAULT, 0.5).executed(while_positive(), X, threads=1, runs=1)


def test_runtimes_have_a_limit_unless_it_is_taken_away() -> None:
    for runtime in (DEFAULT, WEIGHTS_AS_WRITTEN):
        assert runtime.timeout == limits.RUN_SECONDS
    assert within(DEFAULT, None).timeout is None
    assert within(DEFAULT, 0).timeout is None
    assert as_written(within(DEFAULT, 7)) == within(WEIGHTS_AS_WRITTEN, 7)
    assert within(RUNTIMES["openvino"], 7) is RUNTIMES["openvino"]
    assert pickle.loads(pickle.dumps(within(DEFAULT, 7))) == within(DEFAULT, 7)
    with closing(within(DEFAULT, 0).open(while_positive(), threads=1)) as session:
        session.run({"x": -X["x"]})


def test_only_what_lasts_too_long_is_ended() -> None:
    deadlines, ended = Deadlines(), list[str]()
    with deadlines.within(60, lambda: ended.append("long")):
        for number in range(50):
            with deadlines.within(30, lambda number=number: ended.append(f"short {number}")):
                pass
        over = threading.Event()
        with deadlines.within(0.05, over.set):
            assert over.wait(30)
    assert not ended
    assert not deadlines._due


def test_an_earlier_deadline_wakes_the_thread_that_waits_for_a_later_one() -> None:
    deadlines, over = Deadlines(), threading.Event()
    with deadlines.within(600, lambda: None):
        time.sleep(0.05)  # it waits now
        with deadlines.within(0.05, over.set):
            assert over.wait(30)
