"""Paths that a stranger may have prepared: nothing outside is read, nothing but files and free names is written."""

from pathlib import Path

import pytest

from tests.cli.test_bad_input import place, refused
from tests.support.command_line import Command
from tests.support.special_files import SPECIAL

__all__ = ["place"]  # a fixture

QUANTIZE = "quantize net.onnx --data data --effort fast"
OUTPUTS = {
    "quantize": (f"{QUANTIZE} --output out", "out"),
    "quantize, by default": (QUANTIZE, "net.int8.onnx"),
    "quantize --json": (f"{QUANTIZE} --json out", "out"),
    "calibrate": ("calibrate net.onnx --data data -o out", "out"),
    "calibrate --json": ("calibrate net.onnx --data data --json out", "out"),
    "unfinished calibration": ("calibrate net.onnx --data data -o c.json", "c.json.partial"),
    "sensitivity": ("sensitivity net.onnx --data data --figure out.svg", "out.svg"),
    "search": ("search net.onnx --data data --figure out", "out"),
    "report": ("report net.onnx --data data -o r", "r/index.html"),
    "report of a name": ("report net.onnx --data data -o r", "r/net/report.json"),
    "index of reports": ("report net.onnx --data data -o r", "r/README.md"),
    "evaluate": ("evaluate net.onnx --data data --json out", "out"),
    "inspect": ("inspect net.onnx --json out", "out"),
    "benchmark": ("benchmark net.onnx --json out", "out"),
    "compare": ("compare net.onnx --data data --json out", "out"),
    "simulate": ("simulate net.onnx --data data -o out", "out"),
    "explain": ("explain net.onnx y --json out", "out"),
    "demo": ("demo -o r", "r/cells_unet.onnx"),
}
"""What a command writes → the command, and the path."""


@pytest.mark.parametrize("name", OUTPUTS)
def test_a_device_is_refused_before_work_begins(quantseg: Command, place: Path, name: str) -> None:
    command, target = OUTPUTS[name]
    (place / target).parent.mkdir(parents=True, exist_ok=True)
    SPECIAL["device"][0](place / target)
    assert refused(quantseg, place, command) == f"{target}: is a device; give the name of a file, or a new one"
    assert (place / target).is_char_device()


@pytest.mark.parametrize("kind", ["pipe", "socket", "link", "loop"])
def test_what_else_is_no_file_is_refused_too(quantseg: Command, place: Path, kind: str) -> None:
    if kind in SPECIAL:
        SPECIAL[kind][0](place / "out")
        called = SPECIAL[kind][1]
    else:
        (place / "out").symlink_to("net.onnx" if kind == "link" else "out")
        called = "a symbolic link"
    for command in (f"{QUANTIZE} -o out", f"{QUANTIZE} --json out", "calibrate net.onnx --data data -o out"):
        assert refused(quantseg, place, command) == f"out: is {called}; give the name of a file, or a new one"


@pytest.mark.parametrize("target", [".", "..", "/", "data/.."])
def test_folders_by_any_name_are_refused(quantseg: Command, place: Path, target: str) -> None:
    for command in (f"{QUANTIZE} --output {target}", f"{QUANTIZE} --json {target}"):
        assert refused(quantseg, place, command) == f"{target}: is a folder; give a file name"


def test_a_folder_where_an_unfinished_calibration_would_be(quantseg: Command, place: Path) -> None:
    (place / "out.json.partial").mkdir()
    message = refused(quantseg, place, "calibrate net.onnx --data data -o out.json")
    assert message == "out.json.partial: is a folder; give a file name"
