"""Names that a stranger chose, in models, files and classes, are only read: on the terminal, in reports and figures."""

import json
import os
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from tests.conftest import CLASSES, SIZE
from tests.support import models
from tests.support.command_line import Command, Outcome

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such names of files"),
]

EVIL = (
    "\x1b[2J\x1b]0;t\x07\nINTRUDER\r\x9b31m\u202e\u2066\u200b| x | <script>alert(1)</script><img src=x onerror=y> "
    "[link](http://evil.example) ![i](//e) `c` **b** $x^{2}$ &lt; </svg>{{ 7 * 7 }}{% raw %}"
)
CLASS_NAMES = (
    "\x1b[31mred\u202e <i>|$a_1$",
    "[sky](http://evil.example)\nINTRUDER",
    "road'\"><script>alert(1)</script>",
)
WORDS = ("--threads", 1)


def renamed(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with a hostile name for everything that has one."""
    evil = onnx.ModelProto()
    evil.CopyFrom(model)
    graph = evil.graph
    names: dict[str, str] = {}

    def name(known: str) -> str:
        return names.setdefault(known, f"{len(names)}{EVIL}")

    for node in graph.node:
        node.name = f"{node.name}/{EVIL}"
        node.doc_string = EVIL
        node.input[:] = map(name, node.input)
        node.output[:] = map(name, node.output)
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = name(value.name)
    graph.name = evil.producer_name = evil.doc_string = EVIL
    evil.metadata_props.add(key=EVIL, value=EVIL)
    return evil


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model and images whose names are hostile."""
    folder = tmp_path_factory.mktemp("strangers")
    onnx.save(renamed(models.unet(base=4, depth=1, classes=CLASSES, size=SIZE)), folder / "evil\x1b[2J\n|<b>$x$.onnx")
    for part, most in (("images", 256), ("masks", CLASSES)):
        (folder / "data" / part).mkdir(parents=True)
        for number, stem in enumerate((b"\x1b[31m|<b>[x](y)\nINTRUDER", "\u202e$a$".encode(), b"`c`", b"plain")):
            shape = (SIZE, SIZE, 3) if most == 256 else (SIZE, SIZE)
            pixels = np.random.default_rng(number).integers(0, most, shape, np.uint8)
            Image.fromarray(pixels).save(folder / "data" / part / os.fsdecode(stem + b".png"))
    return folder


@pytest.fixture(scope="module")
def model(place: Path) -> Path:
    return next(place.glob("*.onnx"))


@pytest.fixture(scope="module")
def data(place: Path) -> tuple[object, ...]:
    return "--data", place / "data", "--classes", ",".join(CLASS_NAMES), *WORDS


def check_read_only(outcome: Outcome, code: int = 0) -> None:
    """The command succeeded, and what it said is printable, in lines of its own."""
    assert outcome.code == code, outcome.err
    for text in (outcome.out, outcome.err):
        for line in text.split("\n"):
            assert line.isprintable(), line
            assert not line.lstrip().startswith("INTRUDER")


class Page(HTMLParser):
    """The tags of a page, its attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.links: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value or "" for name, value in attrs if name in ("href", "src")}

    def handle_data(self, data: str) -> None:
        self.text += data


def check_page(path: Path) -> str:
    """No tag, attribute or link of the page is a stranger's, nor any control character; returns its text."""
    source = path.read_text(encoding="utf-8")
    assert all(letter.isprintable() or letter == "\n" for letter in source)
    page = Page(source)
    assert not page.tags & {"iframe", "i", "object"}
    assert source.lower().count("<script") == source.count("<script>\n(() => {") == 1  # the one that sorts tables
    assert not {name for name in page.attributes if name.startswith("on")}
    assert not [link for link in page.links if not link.startswith(("#", "data:image/png;base64,")) and ":" in link]
    assert "<script>alert(1)</script>" in page.text or path.parent.name == "reports"
    return page.text


MARK = re.compile(r"<!-- quantseg report inputs=[0-9a-f]{64} content=[0-9a-f]{64} -->\n?")


def check_markdown(path: Path) -> None:
    """Read by markdown-it, nothing in the file is HTML, emphasised or code, and the only links are the tables' own."""
    source = path.read_text(encoding="utf-8")
    assert all(letter.isprintable() or letter == "\n" for letter in source)
    assert "://" not in source.split("```")[0].replace("\\://", "")
    for token in MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(source):
        assert token.type != "html_block" or MARK.fullmatch(token.content)
        kinds = {child.type for child in token.children or ()}
        assert kinds <= {"text", "text_special", "softbreak"}, token.content


def check_svg(text: str) -> None:
    """Well-formed, and of drawing elements alone."""
    root = ElementTree.fromstring(text)
    tags = {element.tag.split("}")[1] for element in root.iter()}
    assert not tags & {"script", "a", "image", "foreignObject"}
    assert all(line.isprintable() for line in text.split("\n"))


def test_calibrate_and_its_file_has_the_true_names(
    quantseg: Command, model: Path, data: tuple[object, ...], tmp_path: Path
) -> None:
    out = tmp_path / "out\x1b[31m\nINTRUDER.json"
    check_read_only(quantseg("calibrate", model, *data, "-o", out))
    written = out.read_text(encoding="utf-8")
    assert all(letter.isprintable() or letter == "\n" for letter in written)
    assert any(name.endswith(EVIL) for name in json.loads(written)["tensors"])


@pytest.fixture(scope="module")
def int8(model: Path, place: Path) -> Path:
    return place / "int8\x1b[2J\n.onnx"


def test_quantize_and_the_commands_that_read_its_model(
    quantseg: Command, model: Path, data: tuple[object, ...], int8: Path, tmp_path: Path
) -> None:
    check_read_only(quantseg("quantize", model, *data, "-o", int8, "-v", "--json", tmp_path / "plan.json"))
    assert EVIL in json.loads((tmp_path / "plan.json").read_text())["nodes"][0]["name"]
    check_read_only(quantseg("inspect", int8, "-v", "--convolutions", "--runs", 1))
    check_read_only(quantseg("evaluate", int8, *data, "--reference", model))
    check_read_only(quantseg("benchmark", model, int8, "--rounds", 1, "--runs", 1))
    check_read_only(quantseg("simulate", int8, *data[:2], "--against", "onnxruntime", "-v"), code=0)
    first = onnx.load(model).graph.node[0].name
    check_read_only(quantseg("explain", int8, first))
    check_read_only(quantseg("inspect", int8.with_name("none\x1b\n.onnx")), code=2)
    check_read_only(quantseg("explain", int8, "none\x1b\nINTRUDER"), code=2)
    check_read_only(quantseg("quantize", "a", "b\x1b\nINTRUDER"), code=2)


def test_report(quantseg: Command, model: Path, data: tuple[object, ...], tmp_path: Path) -> None:
    place = tmp_path / "reports"
    words = ("--effort", "fast", "--rounds", 1, "-o", place)
    check_read_only(quantseg("report", model, *data, *words))
    (page,) = place.glob("*/index.html")
    text = check_page(page)
    assert "\\x1b[31mred\\u202e <i>|$a_1$" in text
    assert "`c`.png" in text
    check_page(place / "index.html")
    (link,) = (link for link in Page((place / "index.html").read_text(encoding="utf-8")).links if "index" in link)
    assert (place / os.fsdecode(unquote_to_bytes(link))).samefile(page)
    check_markdown(page.with_name("report.md"))
    check_markdown(place / "README.md")
    said = json.loads(page.with_name("report.json").read_text(encoding="utf-8"))
    assert set(said["evaluation"]["classes"]) == set(CLASS_NAMES)
    drawn = page.read_text(encoding="utf-8")
    figures = [part.split("</svg>")[0] for part in drawn.split("<svg ")[1:]]
    assert len(figures) > 4
    for figure in figures:
        check_svg(f"<svg {figure}</svg>")


def svgs(place: Path) -> Iterator[str]:
    for path in place.glob("*.svg"):
        yield path.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["sensitivity", "search", "compare"])
def test_the_other_commands(
    command: str, quantseg: Command, model: Path, data: tuple[object, ...], tmp_path: Path
) -> None:
    words = {
        "sensitivity": ("--figure", tmp_path / "f.svg", "--effort", "fast"),
        "search": ("--figure", tmp_path / "f.svg", "-o", tmp_path / "m.onnx", "--evaluations", 2, "--effort", "fast"),
        "compare": ("--rounds", 1, "--effort", "fast"),
    }[command]
    outcome = quantseg(command, model, *data, *words)
    check_read_only(outcome, code=outcome.code if command == "search" else 0)
    assert outcome.code in (0, 3)
    for figure in svgs(tmp_path):
        check_svg(figure)
    assert len(list(svgs(tmp_path))) == (command != "compare")
