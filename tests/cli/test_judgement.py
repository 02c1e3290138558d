"""What `quantize`, `report` and `demo` say first: whether the masks are kept, where they are worst, what to do."""

import json
import logging
from pathlib import Path

import pytest

from quantseg.cli import console, judgement, notes
from quantseg.evaluation.levels import KEEPS, LEVELS, LOSES, UNKNOWN
from quantseg.report.verdict import TITLES, NextStep, Verdict
from tests.support.command_line import Command

LOST = Verdict(
    LOSES,
    "The int8 masks agree with the float model's to 60.0 % (mean IoU, 24 images).",
    ((LOSES, "Worst class: \x1b[2J\npole, IoU 3.0 % with float."), (KEEPS, "Worst image: 7.png, agreement 95.0 %.")),
    ("24 of 24 judged images were seen in calibration: on others the masks may be worse.",),
    (NextStep("--effort best", "takes longer"),),
)


def test_quantize_opens_with_the_judgement(quantseg: Command, float_model: Path, images: Path, tmp_path: Path) -> None:
    file = tmp_path / "said.json"
    words = ["--output", tmp_path / "m.onnx", "--effort", "fast", "--json", file]
    outcome = quantseg("quantize", float_model, "--data", images, *words)
    assert outcome.code == 0
    said = json.loads(file.read_text())["verdict"]
    assert said["level"] in (*LEVELS, UNKNOWN)
    lines = outcome.out.splitlines()
    assert lines[0][2:] == said["title"]
    assert lines[1].strip() == said["sentence"]
    assert f"{said['images']} of {said['images']} judged images were seen in calibration" in outcome.out
    assert "next: quantseg report net.onnx m.onnx --data val/" in outcome.out
    assert outcome.out.index("seen in calibration") < outcome.out.index("nodes compute in integers")


def test_a_calibration_file_leaves_the_masks_unjudged(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    assert quantseg("calibrate", float_model, "--data", images, "--output", tmp_path / "c.json").code == 0
    outcome = quantseg("quantize", float_model, "--calibration", tmp_path / "c.json", "--output", tmp_path / "m.onnx")
    assert outcome.code == 0
    said = next(line for line in outcome.out.splitlines() if not line.startswith("note: "))
    assert said == "? Not judged"
    assert "next: quantseg report net.onnx m.onnx --data val/" in outcome.out


@pytest.mark.slow
def test_a_report_opens_with_the_judgement_of_its_json(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    words = ["--output", tmp_path, "--rounds", 1, "--effort", "fast", "--no-images"]
    outcome = quantseg("report", float_model, "--data", images, *words)
    said = json.loads((tmp_path / "net/report.json").read_text())["verdict"]
    assert outcome.out.splitlines()[0][2:] == f"{TITLES[said['level']]}: net"
    assert said["seen"] == said["images"] == 3
    assert "3 of 3 judged images were seen in calibration: on others the masks may be worse." in said["caveats"]
    for form in ("index.html", "report.md"):
        text = (tmp_path / "net" / form).read_text()
        assert said["title"] in text
        assert "3 of 3 judged images were seen in calibration" in text


def test_names_of_strangers_are_only_read(capsys: pytest.CaptureFixture[str]) -> None:
    judgement.say(LOST, "net")
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "✗ Loses the masks: net"
    assert r"\x1b[2J\npole" in out
    assert "\x1b" not in out


@pytest.mark.parametrize(("variable", "coloured"), [("", True), ("1", False)])
def test_colour_is_for_terminals_that_want_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, variable: str, coloured: bool
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("NO_COLOR", variable)
    colours = []
    monkeypatch.setattr("typer.secho", lambda text, fg, bold: colours.append((text, fg)))
    judgement.say(LOST)
    assert (("✗ Loses the masks", "red") in colours) == coloured
    assert all("\x1b" not in text for text, _ in colours)
    assert [fg for _, fg in colours] == ["red", "red"] * coloured


# Notes


@pytest.mark.parametrize(
    ("count", "length", "shown"), [(0, 9, 0), (5, 9, 5), (6, 9, 4), (40, 9, 4), (4, 150, 2), (3, 600, 0)]
)
def test_notes_are_at_most_five_lines(capsys: pytest.CaptureFixture[str], count: int, length: int, shown: int) -> None:
    notes.show([f"{k}{'x' * length}" for k in range(count)], "--verbose lists them")
    lines = capsys.readouterr().out.splitlines()
    assert sum(-(-len(line) // notes.WIDTH) for line in lines) <= notes.MOST
    assert lines[:shown] == [f"note: {k}{'x' * length}" for k in range(shown)]
    left = count - shown
    assert lines[shown:] == [f"note: {left}{' more' if shown else ''} notes; --verbose lists them"] * (left > 0)


@pytest.mark.parametrize(("count", "debug", "printed"), [(0, False, 0), (5, False, 5), (9, False, 5), (9, True, 9)])
def test_the_log_is_at_most_five_lines(
    capsys: pytest.CaptureFixture[str], count: int, debug: bool, printed: int
) -> None:
    logger = logging.getLogger("quantseg")
    before = logger.level, logger.propagate
    with notes.of_log(debug):
        for k in range(count):
            logging.getLogger("quantseg.x").warning("number %d\n", k)
    logger.level, logger.propagate = before
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == printed
    assert lines[:4] == [rf"note: number {k}\n" for k in range(min(count, 4))]
    if count > printed:
        assert lines[-1] == "note: 5 more notes; --debug lists them"


def test_every_note_is_listed_on_request(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("quantseg.quantization.writing.QuantizedModel.notes", tuple(f"remark {k}" for k in range(9)))
    words = ["quantize", float_model, "--data", images, "--effort", "fast", "--dry-run"]
    few, all_of_them = (quantseg(*words, *more).out for more in ((), ("--verbose",)))
    assert (few.count("note: remark"), all_of_them.count("note: remark")) == (4, 9)
    assert "note: 5 more notes; --verbose lists them" in few


def test_a_coloured_line_is_plain_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    console.coloured("text", "red")
    assert capsys.readouterr().out == "text\n"
