"""Nothing is overwritten without --force but what the same command wrote for the same inputs."""

import json
import shutil
from pathlib import Path

import onnx
import pytest

from tests.cli.test_bad_input import place, refused
from tests.cli.test_places import OUTPUTS
from tests.conftest import SIZE
from tests.support import models
from tests.support.command_line import Command

__all__ = ["place"]  # a fixture

FAST = "--effort fast --threads 1"
WRITTEN = {
    "quantize": (f"quantize net.onnx --data data {FAST} -o out", ("out",)),
    "quantize --json": (f"quantize net.onnx --data data {FAST} --dry-run --json out", ("out",)),
    "calibrate": ("calibrate net.onnx --data data --threads 1 -o out --json also", ("out", "also")),
    "sensitivity": (
        f"sensitivity net.onnx --data data {FAST} --limit 1 --no-left-float --figure out.svg --json out",
        ("out.svg", "out"),
    ),
    "search": (
        f"search net.onnx --data data {FAST} --evaluations 1 -o out --figure also --max-iou-drop 100",
        ("out", "also"),
    ),
    "report": (
        f"report net.onnx --data data {FAST} --rounds 1 -o r --json all.json",
        ("r/README.md", "r/index.html", "r/net/report.json", "r/net/report.md", "r/net/index.html", "all.json"),
    ),
    "evaluate": ("evaluate net.onnx --data data --threads 1 --json out", ("out",)),
    "inspect": ("inspect net.onnx --runs 1 --threads 1 --json out", ("out",)),
    "benchmark": ("benchmark net.onnx --rounds 1 --runs 1 --threads 1 --json out", ("out",)),
    "compare": (f"compare net.onnx --data data {FAST} --rounds 1 --json out", ("out",)),
    "simulate": ("simulate net.int8.onnx --data data --limit 1 --no-proof -o out --json also", ("out", "also")),
    "explain": ("explain net.int8.onnx conv1 --data data --json out", ("out",)),
}
"""Command → its words, and what it writes."""
CHANGED = {name for name in WRITTEN if name not in ("quantize", "calibrate", "search", "simulate")}
"""Commands whose first file tells whether it was changed since."""
OWN = {name: words for name, words in OUTPUTS.items() if name not in ("unfinished calibration", "demo")}


@pytest.mark.parametrize("name", OWN)
def test_a_file_of_others_is_refused_and_kept(quantseg: Command, place: Path, name: str) -> None:
    command, target = OWN[name]
    (place / target).parent.mkdir(parents=True, exist_ok=True)
    (place / target).write_bytes(b"mine")
    wrote = f"is there and was not written by quantseg {command.split()[0]}"
    assert refused(quantseg, place, command) == (
        f"{target}: {wrote}; choose another name, or overwrite it with --force"
    )


@pytest.fixture
def work(place: Path, int8_model: Path) -> Path:
    """Beside net.onnx and data/: its int8 model, another float model, and other images."""
    shutil.copyfile(int8_model, place / "net.int8.onnx")
    onnx.save(models.unet(base=4, depth=1, classes=3, size=SIZE), place / "other.onnx")
    shutil.copytree(place / "data", place / "fewer")
    for part in ("images", "masks"):
        (place / f"fewer/{part}/0.png").unlink()
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITTEN)
def test_a_command_overwrites_its_own_and_no_other(quantseg: Command, work: Path, name: str) -> None:
    words, targets = WRITTEN[name]
    assert quantseg(*words.split()).code == 0
    again = quantseg(*words.split())
    assert again.code == 0, again.err
    kept = {target: (work / target).read_bytes() for target in targets}
    if name in CHANGED:
        target = work / targets[0]
        text = target.read_text()
        target.write_text(text.replace("{\n", '{\n "more": 1,\n', 1) if text[0] in "{[" else f"more{text}")
        assert f"{targets[0]}: was changed since quantseg {words.split()[0]} wrote it" in refused(quantseg, work, words)
        target.write_bytes(kept[targets[0]])
    if name not in ("simulate", "explain"):
        message = refused(quantseg, work, words.replace("net.onnx", "other.onnx") + " --name net" * (name == "report"))
        assert message.split(": was ")[1].split("; ")[0] in (
            "written for another model or other images",
            "made of another float model than other.onnx",
            "made of another model",
        )
    if "--data" in words and name not in ("quantize", "search", "calibrate"):
        message = refused(quantseg, work, words.replace("--data data", "--data fewer"))
        assert "was written for another model or other images" in message
    assert {target: (work / target).read_bytes() for target in targets} == kept
    forced = quantseg(*words.replace("--data data", "--data fewer").split(), "--force")
    assert forced.code == 0, forced.err


@pytest.mark.slow
def test_search_and_quantize_leave_the_other_ones_model(quantseg: Command, work: Path) -> None:
    quantize, search = (WRITTEN[name][0].replace("--figure also", "") for name in ("quantize", "search"))
    assert quantseg(*quantize.split()).code == 0
    assert refused(quantseg, work, search).startswith("out: was written by quantseg quantize; ")
    assert quantseg(*search.split(), "--force").code == 0
    assert refused(quantseg, work, quantize).startswith("out: was written by quantseg search; ")


def test_a_calibration_of_other_images_is_kept_and_one_of_more_is_not_refused(quantseg: Command, work: Path) -> None:
    words = "calibrate net.onnx --threads 1 -o out --data"
    assert quantseg(*words.split(), "data").code == 0
    assert refused(quantseg, work, f"{words} fewer").startswith("out: was made of other images; ")
    assert quantseg(*words.split(), "fewer", "--force").code == 0
    assert quantseg(*words.split(), "data").code == 0
    assert len(json.loads((work / "out").read_text())["images"]) == 3


def test_another_commands_file_is_refused(quantseg: Command, work: Path) -> None:
    assert quantseg(*["inspect", "net.onnx", "--runs", "1", "--json", "out"]).code == 0
    message = refused(quantseg, work, "evaluate net.onnx --data data --json out")
    assert message.startswith("out: was written by quantseg inspect; ")


def test_the_folder_of_data_may_have_another_name(quantseg: Command, work: Path) -> None:
    assert quantseg(*["evaluate", "net.onnx", "--data", "data", "--json", "out"]).code == 0
    shutil.move(work / "data", work / "moved")
    assert quantseg(*["evaluate", "net.onnx", "--data", "moved", "--json", "out"]).code == 0
    assert quantseg(*["evaluate", "net.onnx", "--data", "images:moved", "--json", "out"]).code == 2


def test_the_demo_takes_a_folder_that_is_free_or_its_own(
    quantseg: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("d").mkdir()
    Path("d/mine.txt").write_text("mine")
    outcome = quantseg("demo", "-o", "d")
    fact = "d: holds files that are not the demo's; choose another folder, or give --force"
    assert (outcome.code, outcome.err) == (2, f"error: {fact}\n")
    assert [path.name for path in Path("d").iterdir()] == ["mine.txt"]
