"""A command that is ended says one line, leaves nothing half-made behind, and exits with 128 + signal."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.ended import Ended, ended, heeding_signals, processor_time

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

INT, TERM = signal.SIGINT, signal.SIGTERM
WORDS = {INT: "interrupted", TERM: "terminated", signal.SIGHUP: "hung up"}

ENDLESS = """
<ir_version: 8, opset_import: ["": 13]>
g (int64 n, bool c) => (float y) {
  x = Constant <value_float = 1.0> ()
  y = Loop (n, c, x) <body = b (int64 i, bool c_in, float x_in) => (bool c_out, float x_out) {
    c_out = Identity (c_in)
    x_out = Identity (x_in)
  }>
}
"""

GUARDED = "from quantseg.cli import ending\nending.guard()\nimport time\n"


def at_once(process: "subprocess.Popen[str]") -> None:
    """As soon as signals are guarded: during the first imports."""


def after(seconds: float) -> Callable[["subprocess.Popen[str]"], None]:
    """After so many seconds of processor time."""

    def wait(process: "subprocess.Popen[str]") -> None:
        while process.poll() is None and processor_time(process) < seconds:
            time.sleep(0.005)

    return wait


def begun(file: Path) -> Callable[["subprocess.Popen[str]"], None]:
    """Once the file is there, and a little later."""

    def wait(process: "subprocess.Popen[str]") -> None:
        while process.poll() is None and not file.exists():
            time.sleep(0.002)
        time.sleep(0.1)

    return wait


def program(text: str, number: signal.Signals, tmp_path: Path, wait: Callable[..., None] = at_once) -> Ended:
    return ended([], number, wait, tmp_path / "tmp", ("-c", GUARDED + text))


@pytest.mark.parametrize("number", WORDS)
def test_during_the_imports(number: signal.Signals, tmp_path: Path) -> None:
    end = ended(["inspect", "net.onnx"], number, at_once, tmp_path / "tmp")
    assert (end.code, end.out, end.err) == (128 + number, "", f"{WORDS[number]}\n")
    assert end.seconds is not None
    assert end.seconds < 1
    assert end.temporaries == ()


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("time.sleep(60)", id="in a call of the system"),
        pytest.param("while True:\n try: time.sleep(1)\n except BaseException: pass", id="where all is caught"),
        pytest.param("ending.at_end(lambda: 1 / 0)\ntime.sleep(60)", id="though cleaning up fails"),
        pytest.param(
            "ending.at_end(lambda: time.sleep(0.3))\ntime.sleep(0.3)\nending.settle(); print('x')", id="settled"
        ),
    ],
)
def test_wherever_the_main_thread_is(text: str, tmp_path: Path) -> None:
    end = program(text, INT, tmp_path, lambda process: time.sleep(0.1))
    assert (end.code, end.out, end.err) == (130, "", "interrupted\n")
    assert end.seconds is not None
    assert end.seconds < 1.5


def test_in_native_code_that_never_returns(tmp_path: Path) -> None:
    """A Loop of 2^62 rounds."""
    text = f"""
import pathlib, numpy, onnx.parser
from quantseg.runtimes import DEFAULT
model = onnx.parser.parse_model({ENDLESS!r})
session = DEFAULT.open(model.SerializeToString(), threads=1)
pathlib.Path({str(tmp_path / "begun")!r}).touch()
session.run({{"n": numpy.array(2**62), "c": numpy.array(True)}})
"""
    end = program(text, TERM, tmp_path, begun(tmp_path / "begun"))
    assert (end.code, end.err) == (143, "terminated\n")
    assert end.seconds is not None
    assert end.seconds < 1.5


def test_a_second_signal_ends_a_clean_up_that_hangs(tmp_path: Path) -> None:
    def twice(process: "subprocess.Popen[str]") -> None:
        time.sleep(0.1)
        process.send_signal(INT)
        time.sleep(0.3)
        assert process.poll() is None

    end = program("ending.at_end(lambda: time.sleep(60))\ntime.sleep(60)", TERM, tmp_path, twice)
    assert (end.code, end.err) == (143, "")
    assert end.seconds is not None
    assert end.seconds < 1


def test_what_the_caller_ignores_stays_ignored(tmp_path: Path) -> None:
    """As of a command in the background, or under nohup."""
    text = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + GUARDED + "time.sleep(0.5); print('done')"
    end = ended([], INT, at_once, tmp_path / "tmp", ("-c", text))
    assert (end.code, end.out, end.err) == (0, "done\n", "")


def test_what_remains_is_said(tmp_path: Path) -> None:
    end = program(
        "ending.what_remains(lambda: 'go on')\ntime.sleep(60)", INT, tmp_path, lambda process: time.sleep(0.1)
    )
    assert end.err == "interrupted; go on\n"


def test_a_file_that_is_not_complete_goes_with_its_folder(tmp_path: Path) -> None:
    target = tmp_path / "folder" / "out"
    text = f"""
from pathlib import Path
from quantseg import files
ending.at_end(files.abandon)
with files.replacing(Path({str(target)!r})) as temporary:
    temporary.write_text("half of the ne")
    Path({str(tmp_path / "begun")!r}).touch()
    time.sleep(60)
"""

    assert program(text, TERM, tmp_path, begun(tmp_path / "begun")).code == 143
    assert not target.parent.exists()


def test_on_a_terminal_the_bar_is_cleared_and_the_cursor_shown() -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()
    command = [sys.executable, "-c", f"{GUARDED}print(1, flush=True); time.sleep(60)"]
    process = subprocess.Popen(command, stderr=theirs, stdout=subprocess.PIPE, preexec_fn=heeding_signals)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(INT)
    assert process.wait(10) == 130
    process.stdout.close()
    assert os.read(ours, 100) == b"\r\x1b[K\x1b[?25hinterrupted\r\n"
    os.close(ours), os.close(theirs)


def test_the_end_of_a_command_is_guarded_too(tmp_path: Path) -> None:
    """Python's own end is left out: in it signals have no handler any more, and large libraries take their time."""
    text = "import atexit; atexit.register(time.sleep, 60)\nprint('done', end='')\nending.leave(3)"
    end = ended([], None, at_once, tmp_path / "tmp", ("-c", GUARDED + text))
    assert (end.code, end.out, end.err) == (3, "done", "")


def test_output_that_cannot_be_written_is_one_line() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("this system has no full device")
    for words in ((), ("--version",), ("inspect", "--help")):
        with full.open("w") as stream:
            command = [sys.executable, "-m", "quantseg", *words]
            result = subprocess.run(command, stdout=stream, stderr=subprocess.PIPE, text=True, check=False)
        assert result.returncode == 2
        assert result.stderr.startswith("error: standard output")
        assert result.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("number", [INT, TERM])
def test_a_calibration_with_workers(number: signal.Signals, float_model: Path, images: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    words = ["calibrate", float_model, "--data", images, "--workers", 2, "-o", out / "c.json"]

    def workers_start(process: "subprocess.Popen[str]") -> None:
        after(1.0)(process)
        while process.poll() is None and not list((tmp_path / "tmp").glob("*/*/step")):
            time.sleep(0.005)

    end = ended(words, number, workers_start, tmp_path / "tmp")
    assert (end.code, end.said) == (128 + number, (WORDS[number],))
    assert (end.orphans, end.temporaries, list(out.iterdir())) == ((), (), [])


@pytest.mark.slow
def test_an_interrupted_calibration_says_from_where_it_continues(
    float_model: Path, images: Path, tmp_path: Path
) -> None:
    target = tmp_path / "c.json"
    patched = "import quantseg.calibration.calibrate as c; c.SAVE_EVERY_SECONDS = 0.0\n"
    started = f"{GUARDED}{patched}from quantseg.cli.commands import run; run()"
    partial = tmp_path / "c.json.partial"

    def saved(process: "subprocess.Popen[str]") -> None:
        while process.poll() is None and not partial.exists():
            time.sleep(0.001)

    words = ["calibrate", float_model, "--data", images, "-o", target, "--workers", 2]
    end = ended(words, INT, saved, tmp_path / "tmp", ("-c", started))
    assert end.said == (f"interrupted; the same command continues from {partial}",)
    assert ended(words, None, at_once, tmp_path / "tmp").code == 0
    assert not partial.exists()
