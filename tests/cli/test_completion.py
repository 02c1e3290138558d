"""Shell completion: the scripts name what there is, and the shells that are here complete with them."""

import shutil
import subprocess
from pathlib import Path

import pytest
import typer

from quantseg.calibration.calibrators import CALIBRATORS
from quantseg.cli.commands import COMMANDS, app
from quantseg.cli.completion import CHOICES, SHELLS, script
from quantseg.data.heads import HEADS
from quantseg.data.values import RESIZES
from quantseg.mixed_precision.target_facts import TARGETS
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.rounding.requantisation import ROUNDINGS
from quantseg.refinement.levels import EFFORTS
from quantseg.runtimes import RUNTIMES
from quantseg.simulation.arithmetic.processors import PROCESSORS
from tests.support.command_line import Command


@pytest.mark.parametrize(
    ("flag", "table"),
    [
        ("--calibrator", CALIBRATORS), ("--head", HEADS), ("--format", FORMATS), ("--effort", EFFORTS),
        ("--target", TARGETS), ("--resize", RESIZES), ("--rounding", ROUNDINGS), ("--runtime", RUNTIMES),
        ("--processor", PROCESSORS), ("--completion", SHELLS),
    ],
)  # fmt: skip
def test_the_words_of_a_flag_are_those_of_its_table(flag: str, table: object) -> None:
    assert set(CHOICES[flag]) == set(table)  # type: ignore[call-overload]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_flag_is_in_the_script(quantseg: Command, shell: str) -> None:
    outcome = quantseg("--completion", shell)
    assert outcome.code == 0
    assert outcome.out == script(shell, typer.main.get_command(app)) + "\n"
    for command in COMMANDS:
        assert command.__name__ in outcome.out
    program = typer.main.get_command(app)
    shown = {word for one in program.commands.values() for param in one.params if not param.hidden  # type: ignore[attr-defined]
             for word in param.opts if word.startswith("--")}  # fmt: skip
    assert len(shown) > 60
    assert [word for word in shown if (f"-l {word[2:]} " if shell == "fish" else word) not in outcome.out] == []
    assert "--val " not in outcome.out


def test_another_shell_is_one_line(quantseg: Command) -> None:
    outcome = quantseg("--completion", "tcsh")
    assert (outcome.code, outcome.out) == (2, "")
    assert "'tcsh' is no shell that is known; give bash, zsh, fish" in outcome.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        (("qu",), "quantize"),
        (("--ver",), "--version"),
        (("quantize", "--eff"), "--effort"),
        (("quantize", "--effort", "b"), "balanced best"),
        (("quantize", "--effort", "=", "ba"), "balanced"),
        (("quantize", "--effort", "="), "fast balanced best"),
        (("quantize", "--data", "va"), ""),  # files, by the shell
        (("report", "net"), ""),
        (("inspect", "--eff"), ""),
    ],
)
def test_bash_completes(quantseg: Command, tmp_path: Path, typed: tuple[str, ...], completed: str) -> None:
    (tmp_path / "script").write_text(quantseg("--completion", "bash").out)
    words = " ".join(f"'{word}'" for word in ("quantseg", *typed))
    asked = f'COMP_WORDS=({words}); COMP_CWORD={len(typed)}; _quantseg; echo "${{COMPREPLY[*]}}"'
    done = subprocess.run(
        ["bash", "--norc", "-c", f"source {tmp_path / 'script'}; {asked}"], capture_output=True, text=True, check=False
    )
    assert (done.stdout.strip(), done.stderr) == (completed, "")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_read_the_script(quantseg: Command, tmp_path: Path, shell: str) -> None:
    found = shutil.which(shell)
    if found is None:
        pytest.skip(f"{shell} is not here")
    (tmp_path / "script").write_text(quantseg("--completion", shell).out)
    done = subprocess.run([found, "-n", tmp_path / "script"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
