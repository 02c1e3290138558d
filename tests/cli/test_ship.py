"""quantseg ship and demo --app: what they say and write, and what they refuse in one line."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from quantseg.cli import serving
from quantseg.runtimes import npm
from quantseg.shipping import LISTING
from tests.support import apps
from tests.support.command_line import Command
from tests.support.ended import heeding_signals
from tests.support.places import ROOT


@pytest.fixture
def place(float_model: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with net.onnx and data/; a stand-in for onnxruntime-web is found."""
    shutil.copyfile(float_model, tmp_path / "net.onnx")
    shutil.copytree(images, tmp_path / "data")
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(apps.stand_in(tmp_path / "node_modules")))
    monkeypatch.chdir(tmp_path)
    return tmp_path


SHIP = ("ship", "net.onnx", "--to", "app", "--data", "data", "--effort", "fast")


def test_a_float_model_is_quantised_and_shipped(quantseg: Command, place: Path) -> None:
    outcome = quantseg(*SHIP)
    assert outcome.code == 0, outcome.err
    assert "wrote app: model " in outcome.out
    assert "serve it: python -m http.server -d app, then open http://localhost:8000" in outcome.out
    card = (place / "app/MODEL_CARD.md").read_text(encoding="utf-8")
    assert "| command | quantseg ship net.onnx --to app --data data --effort fast |" in re.sub(r" +", " ", card)
    assert "int8 masks agree with the float model's" in card
    assert re.search(r"^\*\*.*, on images that it was calibrated with\.\*\*", card, re.MULTILINE)
    listed = json.loads((place / "app" / LISTING).read_text())["files"]
    assert {*listed} == {p.relative_to(place / "app").as_posix() for p in (place / "app").rglob("*") if p.is_file()} - {
        LISTING
    }


def test_once_more_for_the_same_inputs_overwrites_and_for_others_does_not(quantseg: Command, place: Path) -> None:
    assert quantseg(*SHIP).code == 0
    before = (place / "app/index.html").stat().st_mtime_ns
    assert quantseg(*SHIP).code == 0
    assert (place / "app/index.html").stat().st_mtime_ns > before
    (place / "data/images/0.png").unlink()
    refused = quantseg(*SHIP)
    assert refused.code == 2
    said = "app: was written for another model or other images; choose another folder, or overwrite what is ours"
    assert refused.err == f"error: {said} with --force\n"
    assert quantseg(*SHIP, "--force").code == 0


def test_an_int8_model_is_taken_as_it_is(quantseg: Command, place: Path) -> None:
    fold = ("--fold-preprocess", "--fold-argmax")
    assert quantseg("quantize", "net.onnx", "--data", "data", "--effort", "fast", *fold).code == 0
    outcome = quantseg("ship", "net.int8.onnx", "--to", "app", "--example", "data/images/1.png", "--about", "Noise")
    assert outcome.code == 0, outcome.err
    assert (place / "app/model/model.int8.onnx").read_bytes() == (place / "net.int8.onnx").read_bytes()
    facts = json.loads((place / "app/model/model.json").read_text())
    assert (facts["name"], facts["example"]) == ("net", "example.png")
    assert facts["about"] == "Made for: Noise. On other pictures its masks mean nothing."
    assert "note: no .tflite file: " in outcome.out


REFUSED = {
    "no images": (("net.onnx",), "net.onnx: a float model is quantised for the app; give calibration images"),
    "no model": (("none.onnx",), "none.onnx: no such file; check the path"),
    "both words": (("net.onnx", "--data", "data", "--calib", "data"), "--data and --calib mean the same here"),
    "no example": (("net.onnx", "--data", "data", "--example", "none.png"), "none.png: not an image"),
    "no folder": (("net.onnx", "--data", "data", "--to", "net.onnx"), "net.onnx: is a file, not a folder"),
    "others": (("net.onnx", "--data", "data", "--to", "data"), "data: is there and was not written by quantseg ship"),
    "not folded": (
        ("plain.int8.onnx",),
        "plain: takes 'x' float32 1x3x32x32, not pixels as they are; quantise the float model with --fold-preprocess "
        "and --fold-argmax, or ship the float model itself with --data",
    ),
    "data for int8": (("plain.int8.onnx", "--data", "data"), "--data belongs to a float model, and this one is int8"),
    "recipe for int8": (("plain.int8.onnx", "--mean", "1"), "--mean belongs to a float model, and this one is int8"),
    "about": (("net.onnx", "--data", "data", "--about", "two\nlines"), "about: say in one line of 1 to 200 characters"),
    "effort for int8": (("plain.int8.onnx", "--effort", "best"), "--effort belongs to a float model"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_is_one_line_and_leaves_nothing(
    name: str, quantseg: Command, place: Path, int8_model: Path
) -> None:
    shutil.copyfile(int8_model, place / "plain.int8.onnx")
    words, said = REFUSED[name]
    before = sorted(place.rglob("*"))
    outcome = quantseg("ship", *(() if "--to" in words else ("--to", "app")), *words)
    assert (outcome.code, outcome.out) == (2, "")
    assert outcome.err.startswith(f"error: {said}"), outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(place.rglob("*")) == before


def test_without_onnxruntime_web(quantseg: Command, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(place))
    monkeypatch.setenv("QUANTSEG_CACHE", str(place))
    outcome = quantseg(*SHIP)
    assert (outcome.code, outcome.err) == (2, "error: onnxruntime-web is not installed; run: quantseg web setup\n")
    assert not (place / "app").exists()


def test_the_server_says_what_files_are_and_allows_threads(tmp_path: Path) -> None:
    for name in ("a.mjs", "a.wasm", "a.webmanifest", "a.html"):
        (tmp_path / name).write_text("x")
    with serving.server(tmp_path) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        kinds = {}
        for name in ("a.mjs", "a.wasm", "a.webmanifest", "a.html"):
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/{name}") as answer:
                kinds[name] = answer.headers["Content-Type"]
                assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
                assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
        server.shutdown()
    assert kinds == {
        "a.mjs": "text/javascript",
        "a.wasm": "application/wasm",
        "a.webmanifest": "application/manifest+json",
        "a.html": "text/html",
    }


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
def test_the_demo_is_served_until_it_is_interrupted(tmp_path: Path) -> None:
    modules = apps.stand_in(tmp_path / "node_modules")
    environment = {**os.environ, "PYTHONPATH": str(ROOT), npm.NODE_MODULES_VARIABLE: str(modules)}
    few = "import quantseg.cli.demo as d; from quantseg.cli.main import main; d.IMAGES = 2; main()"
    words = [sys.executable, "-c", few, "demo", "--app", "-o", "demo"]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heeding_signals,
    ) as demo:
        assert demo.stdout is not None
        try:
            line = next((line for line in demo.stdout if line.startswith("serving ")), "")
            address = re.findall(r"serving demo/app at (http://localhost:\d+) \(Ctrl-C ends\)", line)
            assert address, demo.stderr.read() if demo.stderr else ""
            with urllib.request.urlopen(address[0]) as answer:
                assert b"<title>Segmentation</title>" in answer.read()
            demo.send_signal(signal.SIGINT)
            _, told = demo.communicate(timeout=20)
        finally:
            demo.kill()
    assert demo.returncode == 130
    assert told.splitlines()[-1] == "interrupted"
    assert json.loads((tmp_path / "demo/app/model/model.json").read_text())["example"] == "example.png"
    assert "Made for: Blood smears" in (tmp_path / "demo/app/README.md").read_text()
