"""quantize --dry-run plans from two images, refines nothing, writes nothing, and says what the command would take."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from quantseg.refinement import levels
from quantseg.refinement.levels import passes
from quantseg.refinement.levels.passes import CALIBRATE, STAGES
from tests.support.command_line import Command


@pytest.fixture
def unrefined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refinement fails."""

    def fail(*_: Any, **__: Any) -> None:
        raise AssertionError("refined")

    monkeypatch.setattr(levels, "starts_of", fail)


@pytest.mark.usefixtures("unrefined")
def test_it_plans_measures_and_writes_nothing(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    plan = tmp_path / "plan.json"
    words = ["quantize", float_model, "--data", images, "--dry-run", "-o", tmp_path / "m.onnx", "--json", plan]
    outcome = quantseg(*words)
    assert outcome.code == 0, outcome.err
    first = "a dry run on 2 of 3 images: nothing is refined and nothing is written\n"
    assert outcome.out.startswith(first)
    assert re.search(r"^\d+ of \d+ nodes compute in integers$", outcome.out, re.MULTILINE)
    assert re.search(r"^float [\d.]+ ms, int8 [\d.]+ ms: [\d.]+x \(\d+ threads?\); refinement may", outcome.out, re.M)
    assert re.search(r"^all +\d+ (s|min)$", outcome.out, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    found = json.loads(plan.read_text())["dry_run"]
    assert list(found["seconds"]) == [CALIBRATE, *STAGES[levels.BALANCED]]
    assert found["images"] == {"looked_at": 2, "there_are": 3}
    assert found["left_out"] is None


@pytest.mark.slow
def test_its_plan_and_size_are_those_of_the_model_that_is_not_refined(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    made, plan, dry = tmp_path / "m.onnx", tmp_path / "plan.json", tmp_path / "dry.json"
    words = ["quantize", float_model, "--data", images, "--effort", "fast", "--json"]
    assert quantseg(*words, plan, "-o", made).code == 0
    outcome = quantseg(*words, dry, "--dry-run")
    assert outcome.code == 0
    assert "refinement may" not in outcome.out
    real, tried = (json.loads(path.read_text()) for path in (plan, dry))
    assert [(node["name"], node["precision"]) for node in tried["nodes"]] == [
        (node["name"], node["precision"]) for node in real["nodes"]
    ]
    assert list(tried["dry_run"]["seconds"]) == [CALIBRATE]
    assert tried["dry_run"]["int8_bytes"] == pytest.approx(made.stat().st_size, rel=0.01)


@pytest.mark.usefixtures("unrefined")
def test_it_says_what_the_budget_would_leave_out(
    quantseg: Command, float_model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes, "BUDGET", passes.SECOND / 400)
    words = ["quantize", float_model, "--data", images, "--dry-run"]
    outcome = quantseg(*words)
    (enough,) = re.findall(r"^note: a narrower search.*; --budget (\d+) leaves nothing out$", outcome.out, re.MULTILINE)
    assert int(enough) > 1
    assert "narrower search" not in quantseg(*words, "--budget", enough).out
    assert "narrower search" not in quantseg(*words, "--budget", "none").out


def test_with_a_calibration_file_there_is_nothing_to_wait_for(
    quantseg: Command, float_model: Path, images: Path, tmp_path: Path
) -> None:
    file = tmp_path / "c.json"
    assert quantseg("calibrate", float_model, "--data", images, "--output", file).code == 0
    outcome = quantseg("quantize", float_model, "--calibration", file, "--dry-run")
    assert outcome.code == 0, outcome.err
    assert "a dry run: nothing is refined and nothing is written\n" in outcome.out
    assert "takes about" not in outcome.out
    assert "int8 " in outcome.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--budget", "much"], "--budget 'much' is no number; give 2 for twice the usual work, or none"),
        (["--budget", "0"], "--budget 0.0: give how many times the usual work, or none for any amount"),
        (["--budget", "nan"], "--budget nan: give how many times the usual work, or none for any amount"),
        (["--budget", "2", "--effort", "fast"], "--effort fast has no work budget; leave --budget out"),
    ],
)
def test_a_budget_that_is_none_is_one_line(
    quantseg: Command, float_model: Path, images: Path, words: list[str], message: str
) -> None:
    outcome = quantseg("quantize", float_model, "--data", images, *words)
    assert (outcome.code, outcome.err) == (2, f"error: {message}\n")


def test_a_folded_model_is_fed_as_it_takes_images(quantseg: Command, float_model: Path, images: Path) -> None:
    words = ["--dry-run", "--effort", "fast", "--fold-preprocess", "--fold-argmax"]
    outcome = quantseg("quantize", float_model, "--data", images, *words)
    assert outcome.code == 0, outcome.err
    assert re.search(r"^float [\d.]+ ms, int8 [\d.]+ ms", outcome.out, re.MULTILINE)
