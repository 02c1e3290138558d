"""Messages of the library name parameters; the command line turns them into flags that exist."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

import quantseg
from quantseg.calibration.calibrators import CALIBRATORS
from quantseg.cli.commands import app
from quantseg.cli.flags import FLAGS, as_flags
from quantseg.data.heads import HEADS
from quantseg.data.values import RESIZES
from quantseg.mixed_precision.target_facts import TARGETS
from quantseg.quantization.formats import FORMATS
from quantseg.refinement.levels import EFFORTS
from tests.support.command_line import Command

LIBRARY = Path(quantseg.__file__).parent
ADVICE = Path("report/verdict/advice.py")
"""What a page advises to type next."""
PARAMETER = re.compile(r"(?<![\w.'])([a-z_]{2,})=(?!=)")


def messages() -> Iterator[tuple[str, str]]:
    """Each string of the library that is no docstring, what is filled in as {}, with its place."""
    for path in sorted(LIBRARY.rglob("*.py")):
        if "cli" in path.relative_to(LIBRARY).parts or path.relative_to(LIBRARY) == ADVICE:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        plain = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        for node in ast.walk(tree):
            where = f"{path.relative_to(LIBRARY)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                yield where, "".join(p.value if isinstance(p, ast.Constant) else "{}" for p in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and not {id(node)} & (parts | plain):
                yield where, node.value


def raised() -> Iterator[tuple[str, str]]:
    """Those that errors carry."""
    for path in sorted(LIBRARY.rglob("*.py")):
        if "cli" in path.relative_to(LIBRARY).parts:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Raise) and node.exc is not None:
                for part in ast.walk(node.exc):
                    if isinstance(part, ast.Constant) and isinstance(part.value, str):
                        yield f"{path.relative_to(LIBRARY)}:{node.lineno}", part.value


def commands() -> list[Any]:
    """Every command."""
    return list(typer.main.get_command(app).commands.values())  # type: ignore[attr-defined]


def options() -> set[str]:
    """Every flag of every command."""
    return {flag for one in commands() for option in one.params for flag in (*option.opts, *option.secondary_opts)}


@pytest.mark.slow
def test_no_message_of_the_library_names_a_flag() -> None:
    found = [
        (where, text)
        for where, text in messages()
        if re.search(r"(?<![\w(-])--[a-z]", text) and not where.startswith(_OF_OTHERS)
    ]
    assert not found
    assert len(list(messages())) > 1000


_OF_OTHERS = ("runtimes/npm.py:", "shipping/card.py:")
"""npm's own flags; and a page for people who have the command line."""


@pytest.mark.slow
def test_every_parameter_in_an_error_has_a_flag() -> None:
    known = {key.split("=")[0] for key in FLAGS if "=" in key}
    strange = {
        (where, name)
        for where, text in raised()
        for name in PARAMETER.findall(text)
        if name not in known | _PYTHON_ONLY
    }
    assert not strange
    assert sum(bool(PARAMETER.search(text)) for _, text in raised()) > 20


_PYTHON_ONLY = {"options", "spatial"}
"""What the command line has not: options as one value; and an attribute of an ONNX operator."""


def test_every_flag_exists() -> None:
    flags = {flag for value in FLAGS.values() for flag in re.findall(r"(?<!\S)--?[a-z][a-z0-9-]*", value)}
    assert flags
    assert flags <= options()


@pytest.mark.parametrize(
    ("flag", "table"),
    [
        ("--calibrator", CALIBRATORS), ("--head", HEADS), ("--format", FORMATS), ("--effort", EFFORTS),
        ("--target", TARGETS), ("--resize", RESIZES),
    ],
)  # fmt: skip
def test_the_help_of_a_choice_names_all_that_can_be_chosen(flag: str, table: Iterable[str]) -> None:
    """The texts are written by hand, so that --help imports no table."""
    told = [param.help for command in commands() for param in command.params if flag in param.opts]
    assert told
    for text in told:
        assert set(table) <= set(re.findall(r"[a-z][a-z0-9-]*", text)), text


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("leave it float with exclude=conv1, or allow that with full_range_weights=True",
         "leave it float with --exclude conv1, or allow that with --full-range-weights"),
        ("exclude='conv*': no node has this name or type; the plan's nodes have the names",
         "--exclude 'conv*': no node has this name or type; quantize --dry-run -v lists the names"),
        ("fold='argmax': output 'y' does not tell its classes; give classes=…",
         "--fold-argmax: output 'y' does not tell its classes; give --classes"),
        ("int4 weights; leave out per_channel=False", "int4 weights; leave out --per-tensor"),
        ("weights='int3' is no integer type", "--weight-type 'int3' is no integer type"),
        ("use fewer engine=processes:…", "use fewer --workers"),
        ("engine=processes:4 is too many", "--workers 4 is too many"),
        ("target=ort-cpu writes channels-last, format=qdq contradicts it",
         "--target ort-cpu writes channels-last, --format qdq contradicts it"),
        ("max_class_drop='data=1.0': give CLASS=POINTS, such as car=1.0",
         "--max-class-drop 'data=1.0': give CLASS=POINTS, such as car=1.0"),
        ("max_iou_drop=-1: is no loss", "--max-iou-drop -1: is no loss"),
        ("excluded by exclude=…", "excluded by --exclude"),
        ("cache=False belongs to target=ort-cpu", "--no-cache belongs to --target ort-cpu"),
        ("/runs/data=1/x.png: cannot be read", "/runs/data=1/x.png: cannot be read"),
        ("node 'size=3' is not there", "node 'size=3' is not there"),
    ],
)  # fmt: skip
def test_parameters_become_flags(message: str, shown: str) -> None:
    assert as_flags(message) == shown


def test_the_command_line_shows_flags(quantseg: Command, float_model: Path, images: Path) -> None:
    outcome = quantseg("quantize", float_model, "--data", images, "--effort", "fast", "--exclude", "nowhere")
    fact = "no node has this name or type; quantize --dry-run -v lists the names"
    assert (outcome.code, outcome.err.splitlines()[-1]) == (2, f"error: --exclude 'nowhere': {fact}")
    outcome = quantseg("quantize", float_model, "--data", images, "--no-timing")
    assert outcome.err.startswith("error: --no-timing belongs to --target ort-cpu or ort-web; ")
