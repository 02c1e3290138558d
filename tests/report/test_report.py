import base64
import hashlib
import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest

from quantseg.data.heads import JudgedOutputs
from quantseg.errors import DataError, OutputError
from quantseg.evaluation.levels import KEEPS, LOSES, LOSES_SOME
from quantseg.report import (
    INT8,
    NNCF,
    PEER,
    Peer,
    PeerSummary,
    Summary,
    comparison_tables,
    comparison_verdict,
    rendering,
    summarise_plan,
    verdict,
    write_index,
    write_report,
)
from quantseg.report.rendering import html_index, markdown_index
from quantseg.report.sections import sections
from quantseg.report.summary import machine_of
from quantseg.report.tables import terminal
from quantseg.report.verdict import headlines
from quantseg.report.writing import read_summary
from tests.support.sample_report import bare_report, evaluation, executed, peer_report, report

FORMS = ["report.json", "report.md", "index.html"]
VOID = {"meta", "link", "img", "br", "hr", "input", "path", "use"}


class Page(HTMLParser):
    """Reads a page and notes what it is made of."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text = [], [], ""
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data.replace("\u00a0", " ")

    def all(self, tag):
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=[report, bare_report, peer_report])
def written(request, tmp_path_factory):
    """A report and the folder that holds its three forms."""
    folder = tmp_path_factory.mktemp("cells")
    write_report(request.param(), folder)
    return request.param(), folder


@pytest.fixture(scope="module")
def page(written):
    return Page((written[1] / "index.html").read_text(encoding="utf-8"))


# The page


def test_the_page_needs_nothing_from_outside(written):
    text = (written[1] / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert page.all("script") == [{}]
    assert not page.all("link")
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert "url(http" not in text
    assert "@import" not in text


def test_the_script_that_sorts_is_the_only_one_that_may_run(written):
    text = (written[1] / "index.html").read_text(encoding="utf-8")
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.S)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'" in text


def test_every_form_opens_with_the_judgement(written):
    content, folder = written
    page, markdown = (folder / name for name in ("index.html", "report.md"))
    verdict_, text = content.verdict, Page(page.read_text(encoding="utf-8")).text
    level = content.judgement.level
    assert level in (LOSES, LOSES_SOME)
    places = [text.index(words) for words in (content.name, verdict_.title, verdict_.sentence, "What to do next")]
    assert places == sorted(places)
    assert places[-1] < text.index(verdict(content.summary))
    assert f'<div class="judgement {"bad" if level == LOSES else "some"}">' in page.read_text(encoding="utf-8")
    opening = markdown.read_text(encoding="utf-8").split("\n")[2]
    assert opening == f"## {verdict_.symbol} {verdict_.title}"
    said = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert list(said)[1] == "verdict"
    assert (said["verdict"]["level"], said["summary"]["level"]) == (level, level)


def test_figures_that_are_bad_are_marked_and_red(written):
    page = Page((written[1] / "index.html").read_text(encoding="utf-8"))
    bad = [cell for cell in page.all("td") if "bad" in cell["class"].split()]
    assert len(bad) > 2
    marks = [mark for mark in page.all("span") if mark.get("title") in ("loses the masks", "loses some of the masks")]
    assert len(marks) > len(bad)


def test_columns_of_numbers_say_what_they_sort_by(page):
    keys = [cell["data-sort"] for cell in (*page.all("td"), *page.all("th")) if "data-sort" in cell]
    assert len(keys) > 10
    assert all(math.isfinite(float(key)) for key in keys)


def test_wide_tables_scroll_by_keyboard_and_have_names(page):
    regions = [part for part in page.all("div") if part.get("class") == "wide"]
    assert len(regions) == len(page.all("table"))
    assert all(part["tabindex"] == "0" and part["aria-label"] for part in regions)


def test_a_phone_has_figures_of_its_own_whose_text_is_as_large(page):
    drawn = page.all("svg")
    sizes = [float(svg["viewbox"].split()[2]) for svg in drawn]
    assert [size < 270 for size in sizes] == [False, True] * (len(drawn) // 2)
    assert [svg["aria-label"] for svg in drawn[::2]] == [svg["aria-label"] for svg in drawn[1::2]]


def test_the_page_can_be_read_aloud(page):
    assert all(image["alt"] for image in page.all("img"))
    assert all(drawing["role"] == "img" and drawing["aria-label"] for drawing in page.all("svg"))
    assert {header["scope"] for header in page.all("th")} == {"row", "col"}
    assert len(page.all("caption")) == len(page.all("table"))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1


def test_every_link_has_its_target(page):
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"].removeprefix("#") for link in page.all("a")} <= set(ids)


def test_names_are_text_not_markup(page):
    assert "cells & <b>friends</b>" in page.text
    assert "<script>alert(1)</script>" in page.text
    assert not page.all("b") or "friends" not in str(page.all("b"))


def luminance(colour):
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_text_stands_out_from_the_paper_in_light_and_dark():
    """WCAG 2.2, level AA: a contrast of at least 4.5 for text, and 3 for bars."""
    templates = Path(rendering.__file__).parent / "templates"
    style = "\n".join((templates / name).read_text(encoding="utf-8") for name in ("colours.css", "style.css"))
    themes = [
        dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", block)) for block in re.findall(r":root \{(.*?)\}", style, re.S)
    ]
    themes = [theme for theme in themes if len(theme) > 5]
    assert len(themes) >= 2
    for theme in themes:
        for name, least in {
            "ink": 4.5,
            "quiet": 4.5,
            "accent": 4.5,
            "float": 3,
            "int8": 3,
            "warning": 3,
            "good": 4.5,
            "some": 4.5,
            "bad": 4.5,
        }.items():
            for ground in ("paper", "raised", "goodsoft", "somesoft", "badsoft"):
                low, high = sorted(luminance(theme[part]) for part in (name, ground))
                assert (high + 0.05) / (low + 0.05) >= least, (name, ground)


# All forms


def test_the_same_report_is_the_same_bytes(written, tmp_path):
    content, folder = written
    write_report(content, tmp_path)
    for form in FORMS:
        assert (folder / form).read_bytes() == (tmp_path / form).read_bytes()


def test_without_images_no_form_shows_an_image(tmp_path):
    write_report(report(), tmp_path, images=False)
    assert all("data:image" not in (tmp_path / form).read_text(encoding="utf-8") for form in FORMS)


def test_images_are_in_the_page_only(written):
    content, folder = written
    shown = ["data:image" in (folder / form).read_text(encoding="utf-8") for form in FORMS]
    assert shown == [False, False, bool(content.images)]


def test_markdown_holds_every_section_and_table(written):
    content, folder = written
    text = (folder / "report.md").read_text(encoding="utf-8")
    assert verdict(content.summary) in text
    for section in sections(content):
        assert f"\n## {section.title}\n" in text
    tables = [line for line in text.split("\n") if line.startswith("|")]
    assert tables
    assert max(map(len, tables)) <= 100
    assert "<script" not in text.replace("\\<script", "")


def test_json_is_strict_and_whole(written):
    content, folder = written
    text = (folder / "report.json").read_text(encoding="utf-8")
    values = json.loads(text, parse_constant=lambda word: pytest.fail(word))
    assert values["summary"]["agreement"] == content.evaluation.agreement
    assert len(values["worst_ranges"]) == len(content.ranges)
    assert read_summary(folder / "report.json") == content.summary


def test_written_files_are_the_only_files(tmp_path):
    written = write_report(report(), tmp_path / "cells")
    assert sorted(written) == sorted((tmp_path / "cells").iterdir())


@pytest.mark.slow
def test_what_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "report.json").mkdir()
    with pytest.raises(OutputError, match=r"report\.json: is a folder"):
        write_report(report(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]


# The index


def test_the_index_lists_every_report(tmp_path):
    write_report(replace(report(), name="zebra"), tmp_path / "b zebra")
    write_report(replace(bare_report(), name="<b>a"), tmp_path / "a")
    _, markdown, html = write_index(tmp_path)
    page = Page(html.read_text(encoding="utf-8"))
    assert [link["href"] for link in page.all("a")] == ["a/index.html", "b%20zebra/index.html"]
    lines = markdown.read_text(encoding="utf-8").split("\n")
    named = [line.split("|")[1].strip() for line in lines if line.startswith("|")]
    assert named[2:] == ["\\<b>a", "zebra"]
    assert max(len(line) for line in lines if line.startswith("|")) <= 100


def test_an_index_of_nothing_is_an_empty_table(tmp_path):
    values, markdown, html = write_index(tmp_path)
    assert json.loads(values.read_text()) == {}
    assert "| model" in markdown.read_text(encoding="utf-8")
    assert Page(html.read_text(encoding="utf-8")).all("table")


NOTE = "not its own images: agreement only; give --data"
FAILED = "onnxruntime's quantizer failed (no <Conv>)"


@pytest.fixture(scope="module")
def contested(tmp_path_factory):
    """Reports beside the other tool's models, of one of which it made none, and one that stands alone."""
    folder = tmp_path_factory.mktemp("contested")
    write_report(peer_report(name="a_model_with_a_rather_long_name"), folder / "a")
    write_report(peer_report(name="b", data=None, note=NOTE, evaluation=evaluation(labelled=False)), folder / "b")
    write_report(peer_report(name="c", peers=(Peer(failed=FAILED),)), folder / "c")
    write_report(report(name="alone"), folder / "d")
    return folder, [path.read_text(encoding="utf-8") for path in write_index(folder)]


def test_the_index_stands_models_beside_the_other_tools(contested):
    folder, (values, markdown, html, svg) = contested
    page = Page(html)
    assert [link["href"] for link in page.all("a")] == [f"{name}/index.html" for name in "abcd"]
    assert {header["scope"] for header in page.all("th")} == {"row", "col", "colgroup"}
    assert len(page.all("caption")) == len(page.all("table")) == 2
    for form in (page.text, markdown.replace("\\<", "<")):
        assert form.index(NOTE) < form.index(FAILED) < form.index("alone")
    assert json.loads(values)["a"]["peers"][0]["bytes"] == 1_100_000
    assert read_summary(folder / "a/report.json").peer(PEER).agreement == evaluation().agreement
    assert "(comparison.svg)" in markdown
    assert ElementTree.fromstring(svg).get("role") == "img"
    assert "--paper: #" in svg


def test_every_table_of_the_index_fits_a_terminal(contested):
    lines = [line for line in contested[1][1].split("\n") if line.startswith("|")]
    assert len(lines) == 3 * (2 + 3) + 2 + 1
    assert max(map(len, lines)) <= 100


def test_the_index_is_the_same_bytes_every_time(contested):
    folder, texts = contested
    assert [path.read_text(encoding="utf-8") for path in write_index(folder)] == texts


FIGURES = {
    "name": "x", "images": 3, "float_bytes": 4, "int8_bytes": 1, "float_ms": 2.0, "int8_ms": 1, "agreement": 1.0,
    "float_iou": None, "int8_iou": None,
}  # fmt: skip


def test_whole_numbers_are_figures_too(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a/report.json").write_text(json.dumps({"summary": FIGURES}))
    write_index(tmp_path)
    assert read_summary(tmp_path / "a/report.json").speed_ratio == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[1]",
        '{"summary": {"name": "x"}}',
        '{"summary": 3}',
        "[" * 200_000,
        *(
            json.dumps({"summary": {**FIGURES, name: value}})
            for name, value in (
                ("name", 1),
                ("name", "\ud800"),
                ("images", "3"),
                ("images", True),
                ("int8_bytes", 0),
                ("int8_bytes", -1),
                ("float_ms", "fast"),
                ("int8_ms", 0.0),
                ("agreement", None),
                ("agreement", float("nan")),
                ("float_iou", float("inf")),
                ("peers", 3),
                ("peers", [{"name": PEER, "bytes": 0}]),
                ("peers", [{"name": PEER, "bytes": "a\nb"}]),
                ("note", ["a"]),
                ("more", 1),
            )
        ),
    ],
)
def test_a_stranger_among_the_reports_is_named(text, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/report.json").write_text(text)
    with pytest.raises(DataError, match=r"other.report\.json: not a report of quantseg"):
        write_index(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 3},
        {"images": "3"},
        {"int8_bytes": 0},
        {"int8_bytes": True},
        {"float_ms": float("nan")},
        {"agreement": None},
        {"agreement": 1e300},
        {"note": ["x"]},
        {"peers": [{"name": PEER, "agreement": "high"}]},
        {"peers": 7},
        {"level": "fine"},
    ],
)
def test_a_report_with_figures_that_are_none_is_named(changes, tmp_path):
    write_report(report(), tmp_path / "other")
    file = tmp_path / "other/report.json"
    said = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({"summary": said["summary"] | changes}))
    with pytest.raises(DataError, match=r"other.report\.json: not a report of quantseg"):
        write_index(tmp_path)


# What is said


def summary(**changes):
    figures = {"float_bytes": 4_000_000, "int8_bytes": 1_000_000, "float_ms": 50.0, "int8_ms": 20.0}
    scored = {"agreement": 0.943, "float_iou": 0.49, "int8_iou": 0.485}
    return Summary(name="x", images=3, **{**figures, **scored, **changes})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "4.0 times smaller and 2.5 times faster"),
        ({"int8_ms": 100.0}, "4.0 times smaller and 2.0 times slower"),
        ({"int8_ms": 51.0}, "4.0 times smaller and about as fast"),
        ({"int8_bytes": 8_000_000}, "2.0 times larger and"),
        ({"float_ms": None}, "is 4.0 times smaller, and its masks agree with the float model's to 94.3 %"),
        ({}, "mean IoU is 48.5 % where the float model's is 49.0 %."),
        ({"float_iou": None, "int8_iou": None}, "to 94.3 % (mean IoU)."),
        ({"note": "strange images"}, "Note: strange images."),
        ({"judged": "judged: output 'y', not 'z'"}, "is 49.0 %. Judged: output 'y', not 'z'."),
        (
            {"peers": (PeerSummary(PEER, 2_000_000, 50.0, 0.9, 0.4),)},
            "quantizer is 2.0 times smaller and about as fast, and",
        ),
        ({"peers": (PeerSummary(PEER, 2_000_000, 50.0, 0.9, 0.4),)}, "agree to 90.0 %; its mean IoU is 40.0 %."),
        ({"peers": (PeerSummary(PEER, 2_000_000, 50.0, 0.9),)}, "masks agree to 90.0 %."),
        ({"peers": (PeerSummary(PEER, failed="it failed (why)"),)}, "there is no model: it failed (why)."),
    ],
)
def test_the_verdict_says_what_was_measured(changes, words):
    sentence = verdict(summary(**changes))
    assert words in sentence
    assert sentence.endswith(".")


def test_the_index_says_which_of_several_outputs_was_judged() -> None:
    rows = {"a": summary(judged="judged: output 'y', not 'z'"), "b": summary()}
    for page in (html_index(rows), markdown_index(rows)):
        assert page.count("judged: output") == 1
    beside = {"a": replace(rows["a"], peers=(PeerSummary(PEER, 2_000_000, 50.0, 0.9, 0.4),))}
    for page in (html_index(beside), markdown_index(beside)):
        assert page.count("judged: output") == 1


def test_the_contest_is_counted_and_its_failures_are_left_out():
    peers = [
        PeerSummary(PEER, 1_000_000, 40.0, 0.90),  # ours is closer and faster
        PeerSummary(PEER, 1_000_000, 20.5, 0.95),  # theirs is closer, and as fast but for the noise of a benchmark
        PeerSummary(PEER, 1_000_000, 10.0, 0.943),  # as close, and theirs is faster
        PeerSummary(PEER, failed="it failed"),
        None,
    ]
    sentence = comparison_verdict([summary(peers=() if peer is None else (peer,)) for peer in peers])
    assert sentence.startswith(
        "Of 3 models that onnxruntime's own quantizer quantises too, quantseg's masks are the closer to float's in 1; "
        "its model is faster in 1, slower in 1 and about as fast in 1."
    )
    assert "agreement is 94.3 % against 94.3 %, and speed 2.50x against 2.44x." in sentence
    assert comparison_verdict([summary(peers=(peers[3],)), summary()]) == ""


def test_the_index_counts_the_models_that_keep_their_masks():
    several = {str(k): summary(level=level) for k, level in enumerate((KEEPS, KEEPS, LOSES_SOME, LOSES, None))}
    words = "Of 4 int8 models, 2 keep their masks, 1 lose some, 1 lose them."
    text = html_index(several)
    for form in (Page(text).text, markdown_index(several)):
        assert words in form
    assert text.count('<td class="left bad">') == text.count('<td class="left some">') == 1
    assert "keep their masks" not in html_index({"a": summary()})


def test_a_larger_model_is_no_fraction_of_a_size_smaller():
    grown = {"a": summary(int8_bytes=10_000_000)}
    for form in (html_index(grown), markdown_index(grown)):
        assert "2.50x larger" in form
        assert "0.40x" not in form
    assert "2.5 times larger" in verdict(grown["a"])


def test_what_was_not_measured_is_a_dash_in_the_contest():
    without = summary(peers=(PeerSummary(PEER, failed="it failed"),), float_iou=None, int8_iou=None, note="strange")
    gain, accuracy, cost = comparison_tables(
        [without, summary(peers=(PeerSummary(PEER, 2_000_000, 25.0, 0.9, 0.4),), data="wbc")]
    )
    assert gain.rows == (
        ("x", "–", "–", "94.3 %", "–", "2.50x"),
        ("x", "–", "90.0 %", "94.3 %", "2.00x", "2.50x"),
    )
    assert accuracy.rows == (
        ("x", "not its own", "–", "–", "–"),
        ("x", "wbc", "49.0 %", "40.0 %", "48.5 %"),
    )
    assert cost.rows == (
        ("x", "4.00 MB", "–", "1.00 MB", "50.0 ms"),
        ("x", "4.00 MB", "2.00 MB", "1.00 MB", "50.0 ms"),
    )
    assert gain.headers == ("model", "masks", "agreement: ORT", "ours", "speed: ORT", "ours")
    assert accuracy.headers == ("model", "images", "mIoU: float", "ORT", "ours")


def test_the_page_of_a_model_shows_the_other_tools_beside_it():
    shown = {section.title: section for section in sections(peer_report())}
    assert shown["Accuracy"].tables[0].headers[-2:] == ("ORT", "its agreement")
    assert [row[0] for row in shown["Size"].tables[0].rows] == ["float", "int8", "onnxruntime quantizer"]
    assert len(shown["What runs"].tables) == 2
    bare = {section.title: section for section in sections(bare_report())}
    unlabelled = peer_report(
        evaluation=evaluation(labelled=False), peers=(Peer(evaluation=evaluation(labelled=False)),)
    )
    (table,) = next(s for s in sections(unlabelled) if s.title == "Accuracy").tables
    assert table.headers == (*bare["Accuracy"].tables[0].headers, "ORT")


def test_headlines_leave_out_what_was_not_measured():
    assert [h.value for h in headlines(report())][:2] == ["4.00x", "2.50x"]
    assert len(headlines(report())) == 5
    assert [h.label for h in headlines(bare_report())] == ["smaller", "agreement", "SQNR"]


def test_what_stays_float_is_grouped_with_its_reason():
    (section,) = [s for s in sections(report()) if s.title == "What stays float"]
    assert section.text == "The plan quantises 24 nodes and keeps 9 in float."
    assert len(section.items) == 1
    assert section.items[0].startswith("9 Resize: cubic mode overshoots (/up/Resize_0, ")
    assert section.items[0].endswith("/up/Resize_5 and 3 more)")


def test_float_transposed_convolutions_that_still_run_are_named():
    def said(nodes):
        (section,) = [s for s in sections(report(executed={INT8: nodes})) if s.title == "What runs"]
        return list(section.items)

    assert said(executed(("ConvTranspose", "float", 1.0))) == ["The int8 model still runs 1 ConvTranspose in float."]
    assert said(executed(("QLinearConv", "int8", 1.0))) == []


def test_the_roofline_is_a_line_the_totals_and_the_slowest_convolutions():
    (section,) = [s for s in sections(report()) if s.title == "Convolutions"]
    assert section.text.startswith("In the int8 model convolutions take 82.2 % of the time and run at 0.26 TMAC/s, ")
    assert "The roof, 1.25 TMAC/s in int8 and 0.15 TMAC/s in float, is the fastest of" in section.text
    totals, slowest = section.tables
    assert totals.rows[0] == ("float", 1, "4000.0", "40.000", "100", "66.7 %", "80.0 %")
    assert [row[0] for row in slowest.rows[:3]] == ["c0", "<b>$x^{$", "c2"]
    assert len(slowest.rows) == 13
    assert slowest.rows[-1][:2] == ("… and 13 more", None)


def test_json_holds_every_convolution():
    content = report().to_json()["roofline"]
    assert content["roofs"]["int8"] == {"kind": "int8", "macs_per_second": 1.25e12, "size": (1024, 1024, 1024)}
    first, second, third, *others = content["convolutions"]["int8"]
    assert first["product"]["macs"] == 4_000_000_000
    assert first["fraction_of_roof"] == pytest.approx(4e9 / 0.012 / 1.25e12)
    assert second["product"]["groups"] == 32
    assert (third["product"], third["fraction_of_roof"]) == (None, None)
    assert len(others) == 22
    assert bare_report().to_json()["roofline"] is None


def test_a_plan_is_summarised_by_counting():
    from quantseg.quantization.plan import KeptFloat, PlannedNode, Quantised, QuantPlan, QuantSettings

    decisions = [
        ("a", "Conv", Quantised("product")),
        ("b", "Resize", KeptFloat("no rule")),
        ("c", "Conv", Quantised("product")),
        ("d", "Softmax", KeptFloat("last")),
        ("e", "Gelu", KeptFloat("no rule")),
    ]
    nodes = tuple(PlannedNode(*decision) for decision in decisions)
    changes = ("fold: a: x", "fold: c: y", "split: b: z")
    plan = QuantPlan(QuantSettings(), {}, {}, nodes, frozenset(), {}, changes, ("careful",))
    brief = summarise_plan(plan)
    assert (brief.quantised, brief.lowered, brief.notes) == (
        {"Conv": 2},
        {"fold": 2, "split": 1},
        ("careful",),
    )
    assert [(g.reason, g.operators, g.nodes) for g in brief.kept] == [
        ("no rule", {"Gelu": 1, "Resize": 1}, ("b", "e")),
        ("last", {"Softmax": 1}, ("d",)),
    ]


# What is judged, and figures of one side alone.


@pytest.mark.slow
def test_the_report_names_the_output_where_there_are_several(tmp_path):
    seen = replace(evaluation(), judged=JudgedOutputs(("y",), ("aux",)))
    write_report(report(evaluation=seen), tmp_path / "r")
    assert "Judged: output 'y', not 'aux'." in (tmp_path / "r" / "report.md").read_text(encoding="utf-8")
    assert json.loads((tmp_path / "r" / "report.json").read_text())["evaluation"]["output"] == "y"
    write_report(report(), tmp_path / "s")
    assert "Judged:" not in (tmp_path / "s" / "report.md").read_text(encoding="utf-8")


def test_a_figure_that_only_the_agreement_has_stands_alone_in_its_row():
    plain = evaluation()
    between = replace(plain.between, summary={**plain.between.summary, "matched": 0.75})
    seen = replace(plain, between=between)
    peer = replace(peer_report().peers[0], evaluation=seen)
    (table,) = next(
        part for part in sections(peer_report(evaluation=seen, peers=(peer,))) if part.title == "Accuracy"
    ).tables
    rows = {row[0]: row[1:] for row in table.rows}
    assert rows["matched"] == ("–", "–", "–", "75.0 %", "–", "75.0 %")


def test_the_index_has_columns_for_each_quantizer_that_was_compared():
    ort = PeerSummary(PEER, 2_000_000, 25.0, 0.9, 0.4)
    nncf = PeerSummary(NNCF, 2_500_000, 12.5, 0.95, 0.45)
    rows = [summary(peers=(ort, nncf)), summary(peers=(ort,))]
    gain, accuracy, cost = comparison_tables(rows)
    assert gain.headers[2:] == ("agreement: ORT", "NNCF", "ours", "speed: ORT", "NNCF", "ours")
    assert gain.rows[0][-3:] == ("2.00x", "4.00x", "2.50x")
    assert accuracy.headers[2:] == ("mIoU: float", "ORT", "NNCF", "ours")
    assert gain.rows[1][3] == accuracy.rows[1][4] == "–"
    assert cost.rows[0][2:5] == ("2.00 MB", "2.50 MB", "1.00 MB")
    for table in (gain, accuracy, cost):
        assert max(map(len, terminal(table.headers, table.rows).splitlines())) <= 100
    assert "Of 1 models that NNCF in OpenVINO quantises too" in comparison_verdict(rows)
    assert comparison_tables([summary(peers=(nncf,))])[1].headers[2:] == ("mIoU: float", "NNCF", "ours")
    page = Page(html_index({"a": rows[0], "b": rows[1]}))
    assert sum(int(cell["colspan"]) for cell in page.all("th") if "colspan" in cell) == 3 + 3 + 4 + 4 + 1


def test_the_index_says_what_the_figures_were_measured_on():
    intel, arm = "Intel (avx2), onnxruntime 1.32.0", "Arm (i8mm), onnxruntime 1.32.0"
    rows = [summary(machine=intel), replace(summary(machine=intel), name="y"), replace(summary(machine=arm), name="z")]
    for form in (html_index, markdown_index):
        assert f"All figures are of one machine: {intel}." in form(dict(zip("ab", rows, strict=False)))
        both = form(dict(zip("abc", rows, strict=True)))
        assert f"The figures of x, y are of {intel}. The figures of z are of {arm}." in both
        assert "machine" not in form({"a": summary()})
        assert f"The figures of y are of {intel}." in form({"a": summary(), "b": rows[1]})


def test_the_machine_is_that_of_the_provenance():
    known = {"processor": "Arm, 2 cores", "instruction sets": "i8mm", "nncf": "3.4.0", "onnxruntime": "1.32.0"}
    assert machine_of(known) == "Arm, 2 cores (i8mm), onnxruntime 1.32.0, nncf 3.4.0"
    assert machine_of({"threads": "2"}) is None
    assert replace(report(), provenance=known).summary.machine == machine_of(known)
