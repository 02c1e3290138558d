"""The page of the lecture's systems: every system is there, and every command on it is one that the programs take."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

import reference_models.__main__ as trainer
from quantseg.cli.commands import app
from quantseg.evaluation.classical import CLASSICAL
from reference_models import WEIGHTS
from tests.docs.pages import ROOT

PAGE = (ROOT / "docs/guides/systems.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"`((?:quantseg|python -m reference_models) [^` ]+ [^`]+)`", PAGE)
PROGRAMS: dict[str, Any] = {
    "quantseg": typer.main.get_command(app),
    "python -m reference_models": typer.main.get_command(trainer.app),
}
NAMED = (
    *("U-Net", "SegNet", "LinkNet", "PSPNet", "FPN", "FCN", "DeepLabV3", "DeepLabV3+", "Tiramisu", "Mask R-CNN"),
    *("YOLO", "clustering", "edges", "graph-theoretic", "losses", "augmentation", "crops"),
)
"""What the lectures name."""


def test_every_system_has_a_row() -> None:
    rows = [row.lower() for row in re.findall(r"^\| (?!system|subject|-)(.+)\|$", PAGE, re.MULTILINE)]
    assert len(rows) > 20
    assert [name for name in NAMED if not any(name.lower() in row.split(" | ")[0] for row in rows)] == []


def test_every_method_has_a_row() -> None:
    assert set(re.findall(r"^\| [^|]+ \| `([^`]+)` \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE)) >= set(CLASSICAL)


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_every_command_is_one(command: str) -> None:
    """Its flags and values are parsed by the program itself; nothing runs."""
    program = next(name for name in PROGRAMS if command.startswith(name))
    name, *words = shlex.split(command.removeprefix(program))
    group = PROGRAMS[program]
    parsed = group.commands[name].make_context(name, words).params
    if program == "quantseg":
        model = ROOT / parsed["model"]
        if not model.is_file():
            pytest.skip(f"{parsed['model']} is not there")
        assert model.parent == Path(WEIGHTS)
    else:
        from reference_models.zoo import ZOO

        if parsed["name"] not in ZOO:
            pytest.skip(f"no model {parsed['name']} in the zoo")
        assert (WEIGHTS / f"{parsed['name']}.onnx").is_file()


def test_files_that_it_names_are_there() -> None:
    files = re.findall(r"`((?:reference_models|quantseg)/[\w/]+\.py)`", PAGE)
    assert len(files) > 3
    assert [file for file in files if not (ROOT / file).is_file()] == []
