"""The folder of an app: complete, small, of our own text alone, whatever the names of a stranger's classes are."""

import hashlib
import html
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from contextlib import closing
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from quantseg.errors import DataError, MissingExtraError
from quantseg.runtimes import npm, runtime_named
from quantseg.shipping import App, Story, app_of, checked_about, icon
from quantseg.shipping.about import UNKNOWN
from quantseg.shipping.contents import FACTS, MODEL, RUNTIME
from quantseg.shipping.native import PROGRAMS
from quantseg.shipping.readme import PHONE, REMOVE, START
from tests.shipping.conftest import NAMES
from tests.support import apps
from tests.support.places import ROOT

WEB = ROOT / "quantseg/shipping/web"
MOST = 3_000_000


@pytest.fixture
def app(folded_model: Path, stand_in: Path) -> App:
    return app_of(folded_model.read_bytes(), "net <i>", Story(), example=b"example")


def test_everything_is_there(app: App, folded_model: Path) -> None:
    page = {path.name for path in WEB.iterdir()}
    made = {
        "MODEL_CARD.md",
        "README.md",
        "manifest.webmanifest",
        "package.json",
        "icon.svg",
        "icon-192.png",
        "icon-512.png",
        "example.png",
    }
    model = {MODEL, FACTS, "model/model.ort"}
    native = {f"native/{path}" for path in PROGRAMS}
    assert {*app.files} == page | made | model | native | {f"vendor/{name}" for name in (*RUNTIME, "LICENSE")}
    assert app.files[MODEL] == folded_model.read_bytes()
    assert app.own_bytes < MOST


def test_every_template_is_filled_in(app: App) -> None:
    texts = {
        path: content for path, content in app.files.items() if not path.startswith(("model/", "vendor/", "icon-"))
    }
    assert [path for path, content in texts.items() if re.search(rb"@[A-Z]+@", content)] == []


def test_names_of_strangers_are_data(app: App) -> None:
    """They stand where JSON or Markdown quotes them, and in no program and no page."""
    for name in (*NAMES[1:], "net <i>"):
        found = {
            path
            for path, content in app.files.items()
            if name.encode() in content or json.dumps(name).encode() in content
        }
        assert found <= {FACTS, MODEL, "model/model.ort", "manifest.webmanifest", "package.json"}, name
    card = app.files["MODEL_CARD.md"].decode()
    assert r"\<img src=x" in card
    assert re.search(r"(?<!\\)<", card) is None


def test_what_the_service_worker_stores_is_what_the_page_asks_for(app: App) -> None:
    worker = app.files["sw.js"].decode()
    (listed,) = re.findall(r"^const FILES = (.*);$", worker, re.MULTILINE)
    stored = set(json.loads(listed))
    assert stored - {"./"} <= {*app.files}
    asked = {"index.html", "example.png", "MODEL_CARD.md", FACTS, MODEL, *(f"vendor/{name}" for name in RUNTIME)}
    page = "".join(
        (WEB / name).read_text()
        for name in ("index.html", "app.js", "engine.js", "worker.js", "view.js", "card.js", "enlarge.js")
    )
    asked |= set(re.findall(r"[\"'](?:\./)?([\w-]+\.(?:js|css|svg|png|webmanifest))[\"']", page)) - {
        "sw.js",
        "mask.png",
    }
    assert asked <= stored
    assert not any(path.startswith("native/") or path.endswith((".ort", ".tflite")) for path in stored)


def test_the_version_changes_with_any_file_that_is_stored(folded_model: Path, stand_in: Path) -> None:
    def version(example: bytes) -> str:
        worker = app_of(folded_model.read_bytes(), "net", Story(), example=example).files["sw.js"].decode()
        return re.findall(r"VERSION = '([0-9a-f]{16})'", worker)[0]

    assert version(b"a") == version(b"a") != version(b"b")


def test_nothing_is_loaded_from_elsewhere(app: App) -> None:
    """No address of another host in what the page runs; its policy allows its own files alone, in header and page."""
    for path, content in app.files.items():
        if path.endswith((".html", ".js", ".css", ".webmanifest")) and not path.startswith(("vendor/", "native/")):
            assert re.findall(rb"(?:https?:)?//(?!localhost)[a-z][\w.-]*\.[a-z]{2,}", content) == [], path
    page, worker = app.files["index.html"].decode(), app.files["sw.js"].decode()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    assert f'"{policy}"' in worker
    assert policy.startswith("default-src 'none'; script-src 'self' 'wasm-unsafe-eval';")
    assert "unsafe-inline" not in policy
    assert "'unsafe-eval'" not in policy
    assert not re.search(r"<script(?![^>]* src=)|<style| style=| on[a-z]+=", page)
    scripts = "".join(path.read_text() for path in WEB.glob("*.js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", scripts)


def test_the_page_is_told_what_the_model_is(app: App) -> None:
    facts = json.loads(app.files[FACTS])
    assert facts["sha256"] == hashlib.sha256(app.files[MODEL]).hexdigest()
    assert facts["bytes"] == len(app.files[MODEL])
    assert (facts["file"], facts["example"], facts["name"]) == ("model.int8.onnx", "example.png", "net <i>")
    assert [one["name"] for one in facts["classes"]] == [*NAMES]


def test_the_manifest_and_the_package_are_of_this_app(app: App) -> None:
    manifest = json.loads(app.files["manifest.webmanifest"])
    assert {one["src"] for one in manifest["icons"]} <= {*app.files}
    assert (manifest["display"], manifest["start_url"], manifest["name"]) == ("standalone", "./", "net <i>")
    assert json.loads(app.files["package.json"])["dependencies"] == {"onnxruntime-web": npm.ONNXRUNTIME_WEB}


def test_the_ort_file_runs_and_gives_the_same(app: App, images: Path) -> None:
    picture = Image.open(images / "images/0.png").convert("RGB")
    masks = [
        onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(
            None, {"pixels": np.asarray(picture)[None]}
        )[0]
        for content in (app.files[MODEL], app.files["model/model.ort"])
    ]
    assert np.array_equal(*masks)


@pytest.mark.slow
def test_the_tflite_file_runs_and_gives_nearly_the_same(cells_app: Path, pictures: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is an extra")
    with closing(runtime_named("litert").open(cells_app / "model/model.tflite", threads=1)) as session:
        (spec,) = session.inputs
        (mask,) = session.run({spec.name: np.asarray(Image.open(pictures / "same.png"))[None]})
    assert (mask[0] != apps.mask_in_python(cells_app, pictures / "same.png")).mean() < 0.001


def test_the_card_says_what_how_and_where(app: App) -> None:
    card = app.files["MODEL_CARD.md"].decode()
    for words in ("uint8", "32 x 32", "bilinear", "SHA-256", "WASM SIMD", "Not judged", UNKNOWN):
        assert words in card, words
    said = {"title": "Keeps the masks", "sentence": "They agree.", "facts": ["Worst class: x."], "caveats": []}
    judged = app_of(app.files[MODEL], "net", Story({"effort": "fast"}, said, "quantseg ship net.onnx"))
    text = judged.files["MODEL_CARD.md"].decode()
    assert "**Keeps the masks.** They agree." in text
    assert "- Worst class: x." in text
    assert "quantseg ship net.onnx" in text


def test_the_card_has_one_plain_sentence_on_a_format_that_was_not_made(app: App) -> None:
    card = app.files["MODEL_CARD.md"].decode()
    assert "A file for LiteRT (TensorFlow Lite), .tflite, was not made." in card
    assert "model/model.ort" in card
    assert "model/model.tflite" not in card
    assert "data=" not in card


@pytest.mark.parametrize(
    ("seen", "headline"),
    [
        (4, "**Keeps the masks, on images that it was calibrated with.**"),
        (2, "**Keeps the masks, on images that it was calibrated with, 2 of 4 of them.**"),
        (0, "**Keeps the masks.**"),
        (None, "**Keeps the masks.**"),
    ],
)
def test_the_headline_says_that_calibration_had_seen_the_images(seen: int | None, headline: str, app: App) -> None:
    said = {"title": "Keeps the masks", "sentence": "x", "facts": [], "caveats": [], "seen": seen, "images": 4}
    assert headline in app_of(app.files[MODEL], "net", Story(verdict=said)).files["MODEL_CARD.md"].decode()


def test_what_pictures_the_model_is_for(app: App) -> None:
    """The first line of page, README.md and card: the author's words, or that nobody said."""
    told = app_of(app.files[MODEL], "net", Story(about="Blood <i>smears</i>"))
    line = "Made for: Blood <i>smears</i>. On other pictures its masks mean nothing."
    assert json.loads(told.files[FACTS])["about"] == line
    assert json.loads(app.files[FACTS])["about"] == UNKNOWN
    for name in ("README.md", "MODEL_CARD.md"):
        assert told.files[name].decode().split("\n\n")[1].replace("\\", "") == line
        assert app.files[name].decode().split("\n\n")[1] == UNKNOWN


@pytest.mark.parametrize("about", ["", "  ", "two\nlines", "\x1b[31mred", "x" * 201])
def test_about_is_one_line(about: str) -> None:
    with pytest.raises(DataError, match=r"^about: say in one line of 1 to 200 characters"):
        checked_about(about)


def test_how_to_start_it_is_said_in_the_folder_and_on_a_page_that_is_opened_as_a_file(app: App) -> None:
    text = app.files["README.md"].decode()
    page = html.unescape(re.sub(r"<[^>]+>", "", app.files["index.html"].decode()))
    for words in (*START, PHONE, REMOVE):
        assert words in text
        assert " ".join(words.replace("`", "").split()) in " ".join(page.split())


@pytest.mark.parametrize("side", icon.SIZES)
def test_icons(side: int) -> None:
    colours = ("#343a46", "#56b4e9", "#d55e00")
    assert ElementTree.fromstring(icon.svg(colours)).tag.endswith("svg")
    image = Image.open(io.BytesIO(icon.png(colours, side)))
    assert image.size == (side, side)
    assert len(icon.png(colours, side)) < 10_000
    assert icon.svg(("#343a46",)) == icon.svg(())


def test_without_the_runtime(folded_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(tmp_path))
    monkeypatch.setenv("QUANTSEG_CACHE", str(tmp_path))
    with pytest.raises(MissingExtraError, match="quantseg web setup"):
        app_of(folded_model.read_bytes(), "net", Story())
