"""onnxruntime's telemetry is off: a home that was empty stays empty, in workers too."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.places import ROOT


def left_in_home(home: Path, program: str) -> list[str]:
    """What a Python program leaves in a home folder of its own. Without PATH, CI and the like nothing else is off."""
    home.mkdir(exist_ok=True)
    environment = {"PYTHONPATH": str(ROOT), "HOME": str(home), "PATH": ""}
    subprocess.run([sys.executable, "-c", program], cwd=home.parent, env=environment, check=True, capture_output=True)
    return sorted(path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    "module",
    ["runtimes", "runtimes.onnxruntime_cpu", "runtimes.onnxruntime_profile", "evaluation.peers.onnxruntime", "api"],
)
def test_importing_writes_nothing_at_home(module: str, tmp_path: Path) -> None:
    assert left_in_home(tmp_path / "home", f"import quantseg.{module}, onnxruntime") == []


def test_the_switch_is_what_keeps_home_empty(tmp_path: Path) -> None:
    if left_in_home(tmp_path / "home", "import onnxruntime") == []:
        pytest.skip("this onnxruntime writes nothing at home by itself")
    switched = "import os; os.environ['ORT_DISABLE_TELEMETRY'] = '1'; import onnxruntime"
    assert left_in_home(tmp_path / "other", switched) == []


@pytest.mark.slow
def test_calibrating_in_two_processes_writes_nothing_at_home(float_model: Path, images: Path, tmp_path: Path) -> None:
    words = [str(float_model), "--data", str(images), "--workers", "2", "-o", str(tmp_path / "c.json")]
    program = f"import sys; from quantseg.cli.main import main; sys.argv[1:] = ['calibrate', *{words!r}]; main()"
    assert left_in_home(tmp_path / "home", program) == []
    assert (tmp_path / "c.json").exists()
