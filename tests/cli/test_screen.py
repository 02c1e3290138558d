"""A bar on a terminal; elsewhere a line at least every ten seconds, whatever is done."""

import io
import os
import subprocess
import sys
import time

import pytest

from quantseg.cli import ending
from quantseg.cli.screen import CLEAR, SILENCE, VARIABLE, Screen
from tests.support.command_line import ROOT


@pytest.fixture(autouse=True)
def shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other tests show no progress."""
    monkeypatch.delenv(VARIABLE, raising=False)


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def beaten(screen: Screen, clock: Clock, seconds: float) -> None:
    """Lets time pass, with a beat each quarter of a second."""
    for _ in range(round(seconds * 4)):
        clock.now += 0.25
        screen.beat()


def test_a_pipe_is_never_silent_for_ten_seconds_while_work_runs() -> None:
    stream, clock, found = io.StringIO(), Clock(), []
    screen = Screen(stream, clock)
    for _ in range(200):
        before = len(stream.getvalue())
        beaten(screen, clock, 0.25)
        if len(stream.getvalue()) > before:
            found.append(clock.now)
    assert len(found) == 5
    assert max(after - before for before, after in zip([0.0, *found], found, strict=False)) <= SILENCE
    assert stream.getvalue().count("\n") == 5
    assert "\x1b" not in stream.getvalue()
    assert "\r" not in stream.getvalue()


def test_a_pipe_gets_nothing_for_short_work() -> None:
    stream, clock = io.StringIO(), Clock()
    screen = Screen(stream, clock)
    beaten(screen, clock, 9)
    assert stream.getvalue() == ""


def test_a_line_tells_the_stage() -> None:
    stream, clock = io.StringIO(), Clock()
    screen = Screen(stream, clock)
    screen.display.plan("calibrate", "round weights")
    loop = iter(screen.display(range(40), total=40, what="round weights"))
    next(loop)
    beaten(screen, clock, 8)
    next(loop)
    beaten(screen, clock, 2)
    assert stream.getvalue() == "[2/2] round weights: 1 of 40, about 6 min left\n"


def test_a_terminal_gets_one_bar_that_is_drawn_over() -> None:
    stream, clock = Terminal(), Clock()
    screen = Screen(stream, clock)
    loop = iter(screen.display(range(4), total=4, what="evaluate"))
    next(loop)
    beaten(screen, clock, 3)
    next(loop)
    beaten(screen, clock, 1)
    text = stream.getvalue()
    assert "\n" not in text
    assert text.split("\r")[-1].startswith("━━━")
    assert "evaluate: 1 of 4, about 10 s left" in text


@pytest.mark.parametrize("columns", [20, 40, 60, 200])
def test_the_bar_fits_the_terminal(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    stream, clock = Terminal(), Clock()
    screen = Screen(stream, clock)
    loop = iter(screen.display(range(4), total=4, what="the risk of rounding each tensor"))
    next(loop)
    beaten(screen, clock, 2)
    next(loop)
    beaten(screen, clock, 2)
    drawn = [part.removesuffix("\x1b[K") for part in stream.getvalue().split("\r")]
    assert max(map(len, drawn)) < columns


def test_what_is_written_beside_takes_the_bar_away() -> None:
    stream, clock = Terminal(), Clock()
    screen = Screen(stream, clock)
    beaten(screen, clock, 1)
    with screen.aside():
        stream.write("wrote x\n")
    assert f"{CLEAR}wrote x\n" in stream.getvalue()
    beaten(screen, clock, 1)
    assert "working" in stream.getvalue().split("\n")[-1]


def test_the_end_takes_the_bar_away_and_stops_the_thread() -> None:
    stream = Terminal()
    screen = Screen(stream)
    with screen.showing():
        time.sleep(1)
    end = stream.getvalue()
    assert end.endswith(CLEAR)
    time.sleep(0.6)
    assert stream.getvalue() == end


def test_a_stream_that_nobody_reads_is_left_alone() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    clock = Clock()
    screen = Screen(Broken(), clock)
    beaten(screen, clock, 30)


def test_nothing_is_drawn_once_a_signal_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "begun", lambda: True)
    stream, clock = io.StringIO(), Clock()
    beaten(Screen(stream, clock), clock, 30)
    assert stream.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_nothing_is_shown_where_it_is_off(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "off")
    clock = Clock()
    beaten(Screen(stream, clock), clock, 30)
    assert stream.getvalue() == ""


@pytest.mark.slow
def test_a_command_that_waits_in_one_call_is_not_silent() -> None:
    """The line comes from a thread: no loop is needed. The clock runs four times as fast."""
    program = (
        "import time\nfrom quantseg.cli.screen import Screen\n"
        "with Screen(clock=lambda: 4 * time.monotonic()).showing():\n  time.sleep(6.5)\n"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command, seen = [sys.executable, "-c", program], []
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        began = time.monotonic()
        for line in process.stderr:
            seen.append((time.monotonic() - began, line))
    assert process.returncode == 0
    assert [line for _, line in seen] == ["working, 10 s so far\n", "working, 20 s so far\n"]
    assert seen[0][0] < 6
