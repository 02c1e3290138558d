import math
import operator
import os
from functools import partial
from itertools import count

import pytest

from quantseg.calibration.engines import ENGINES, Processes, Serial, engine_named
from quantseg.errors import CalibrationError

DOUBLE = partial(partial, operator.mul, 2)
"""Makes a step. Of the standard library alone, so that a worker process need not import the tests."""


@pytest.fixture(params=ENGINES)
def run(request):
    return ENGINES[request.param](2)


def test_every_shard_gives_its_result_once(run):
    assert sorted(run(DOUBLE, range(7))) == [2 * shard for shard in range(7)]


def test_no_shards_no_results(run):
    assert list(run(DOUBLE, [])) == []


def test_the_exception_of_a_shard_comes_through(run):
    with pytest.raises(ValueError, match="math domain error"):
        list(run(partial(partial, math.sqrt), [4, -1]))


def test_serial_makes_one_step_and_works_only_when_asked():
    made, done = count(), []

    def make_step():
        next(made)
        return done.append

    results = Serial()(make_step, "abc")
    assert done == []
    next(results)
    assert done == ["a"]
    assert len(list(results)) == 2
    assert next(made) == 1


def test_few_shards_are_under_way_at_a_time():
    """Or every image of a large folder would be in memory at once."""
    taken = []
    shards = (taken.append(shard) or shard for shard in range(100))
    results = Processes(1)(DOUBLE, shards)
    for done in range(1, 5):
        next(results)
        assert len(taken) <= done + 2
    results.close()


def test_a_worker_that_dies_is_one_clear_line():
    with pytest.raises(CalibrationError, match=r"a worker process died, .* use fewer engine=processes:…"):
        list(Processes(1)(partial(partial, os._exit), [1]))


def test_an_engine_is_named_with_its_workers():
    assert (engine_named("serial"), engine_named("processes:4")) == (Serial(), Processes(4))
    assert engine_named("processes").workers == Serial().workers == 1


@pytest.mark.parametrize("words", ["", "thread", "processes:", "processes:0", "processes:two", "processes:-1"])
def test_another_word_is_no_engine(words):
    with pytest.raises(CalibrationError, match=r"is no engine; choose serial, threads, processes, .* processes:4"):
        engine_named(words)


def test_a_count_that_an_engine_cannot_have_is_refused() -> None:
    assert engine_named("serial:1") == Serial()
    with pytest.raises(CalibrationError, match="'serial:4': serial has 1 worker; choose threads or processes"):
        engine_named("serial:4")
