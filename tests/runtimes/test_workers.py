"""Workers end with their parent and are silent on Ctrl-C."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from quantseg.runtimes import workers
from tests.support.ended import Ended, ended

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

OURS = """
import time
from quantseg.runtimes import workers
with workers.pool(2) as pool:
    running = [workers.submit(pool, time.sleep, 60) for _ in range(2)]
    while not all(each.running() for each in running):
        time.sleep(0.01)
    workers.submit(pool, print)
    time.sleep(60)
"""
PORTABLE = """
import multiprocessing, time
from concurrent.futures import ProcessPoolExecutor
from quantseg.runtimes import workers
with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), initializer=workers.watch_parent) as pool:
    pool.submit(abs, 1).result()
    pool.submit(time.sleep, 60)
    time.sleep(60)
"""


def killed(program: str, number: signal.Signals, tmp_path: Path) -> Ended:
    """A program without guarded signals, ended once its workers are at work."""
    program = f"import signal; signal.signal(signal.SIGTERM, lambda *_: None){program}"
    return ended([], number, lambda process: time.sleep(1.5), tmp_path / "tmp", ("-c", program))


def test_a_worker_has_ctrl_c_blocked_and_its_parent_has_not() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    with workers.pool(1) as pool:
        masks = [workers.submit(pool, signal.pthread_sigmask, signal.SIG_BLOCK, ()).result() for _ in range(2)]
    assert all(signal.SIGINT in mask for mask in masks)
    assert signal.pthread_sigmask(signal.SIG_BLOCK, []) == before


def test_a_worker_is_prepared_once_with_its_arguments() -> None:
    with workers.pool(1, os.putenv, "QUANTSEG_TEST", "7") as pool:
        assert workers.submit(pool, os.system, "test $QUANTSEG_TEST = 7").result() == 0


@pytest.mark.slow
@pytest.mark.parametrize("program", [pytest.param(OURS, id="ours"), pytest.param(PORTABLE, id="portable")])
def test_no_worker_outlives_a_parent_that_was_killed(program: str, tmp_path: Path) -> None:
    end = killed(program, signal.SIGKILL, tmp_path)
    assert (end.code, end.orphans) == (-signal.SIGKILL, ())


@pytest.mark.slow
def test_workers_say_nothing_on_ctrl_c(tmp_path: Path) -> None:
    """The parent, which has Python's own handling here, shows its traceback once its workers are done."""
    program = OURS.replace("time.sleep, 60", "time.sleep, 3")
    end = killed(program, signal.SIGINT, tmp_path)
    assert end.err.count("Traceback") == end.err.count("KeyboardInterrupt") == 1
    assert sys.platform == "win32" or end.orphans == ()
