import re
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from quantseg.report import NNCF, PEER, PeerSummary, Summary
from quantseg.report.figures import FIGURES, comparison
from tests.support.sample_report import bare_report, instance_report, report


def report_with(name):
    """A report that has something to draw."""
    return instance_report() if name == "instances" else report()


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_one_svg_element_with_words(name):
    for figure in FIGURES[name](report_with(name)):
        root = ElementTree.fromstring(figure.svg)
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert root.get("aria-label") == figure.alt
        assert len(figure.alt) > 20
        assert figure.caption


@pytest.mark.parametrize("name", FIGURES)
def test_the_same_report_draws_the_same_bytes(name):
    first, second = FIGURES[name](report_with(name)), FIGURES[name](report_with(name))
    assert first
    assert first == second


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_takes_its_colours_from_the_page(name):
    for figure in FIGURES[name](report_with(name)):
        assert not re.search(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", figure.svg)
        assert "var(--ink)" in figure.svg


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_reaches_for_nothing_outside_itself(name):
    for figure in FIGURES[name](report_with(name)):
        addresses = set(re.findall(r'"(https?://[^"]*)"', figure.svg))
        assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert not re.search(r"<style|<script|<metadata|<image", figure.svg)


@pytest.mark.parametrize("name", ["execution", "latency", "ranges", "roofline"])
def test_without_content_nothing_is_drawn(name):
    assert FIGURES[name](bare_report()) == ()


def test_every_class_with_a_value_has_its_bar():
    (labelled,), (plain,) = FIGURES["classes"](report()), FIGURES["classes"](bare_report())
    assert "background" in labelled.svg
    assert "float and int8" in labelled.alt
    assert "int8 with float" in plain.alt


def test_every_range_has_its_figure():
    assert len(FIGURES["ranges"](report())) == len(report().ranges) == 2


def test_the_slowest_convolutions_have_their_bars_and_the_others_one_together():
    (figure,) = FIGURES["roofline"](report())
    words = "".join(ElementTree.fromstring(figure.svg).itertext())
    assert all(word in words for word in ("c0", "27 % · 3x3, 16→32, 64x64", "<b>$x^{$", "c2", "… and 5 more"))
    assert figure.alt.startswith(
        "Share of time and part of the roof: c0 60.0 % and 26.7 %, <b>$x^{$ 15.0 % and 0.1 %, "
    )
    assert "c2 5.0 % and –" in figure.alt


def test_names_with_markup_stay_text():
    """A tensor may be called anything; dollar signs must not start mathematics either."""
    timing = report().latency[0]
    odd = tuple(type(timing)(**{**vars(timing), "name": name}) for name in ("<b>&", "$x^{$", '"quoted"'))
    (figure,) = FIGURES["latency"](report(latency=odd))
    words = "".join(ElementTree.fromstring(figure.svg).itertext())
    assert all(name in words for name in ("<b>&", "$x^{$", '"quoted"'))


ROW = Summary(
    "net", 3, 4_000_000, 1_000_000, 50.0, 20.0, 0.943, 0.49, 0.485, (PeerSummary(PEER, 1, 25.0, 0.9, 0.4),), "wbc"
)
ROWS = [
    ROW,
    replace(ROW, name="$x^{$", peers=(PeerSummary(PEER, failed="it failed"),)),
    replace(ROW, name="same", agreement=1.0, peers=(PeerSummary(PEER, 1, 20.0, 1.0, 0.485),)),
    replace(ROW, name="strange", float_iou=None, int8_iou=None, peers=(PeerSummary(PEER, 1, 25.0, 0.0),), data=None),
]


def test_the_contest_draws_a_row_for_every_model_and_says_its_figures():
    (figure,) = comparison(ROWS)
    words = "".join(ElementTree.fromstring(figure.svg).itertext())
    assert all(row.name in words for row in ROWS)
    assert all(word in words for word in ("float", "onnxruntime's quantizer", "quantseg", "agreement with float"))
    assert "net: change of mIoU −9.0 and −0.5, agreement 90.0 % and 94.3 %, speed 2.00x and 2.50x; " in figure.alt
    assert "$x^{$: change of mIoU – and −0.5, agreement – and 94.3 %, speed – and 2.50x; " in figure.alt
    assert figure.alt.endswith("strange: agreement 0.0 % and 94.3 %, speed 2.00x and 2.50x")
    assert comparison(ROWS) == (figure,)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_any_model_alone_can_be_drawn(row):
    (figure,) = comparison([row])
    assert not re.search(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", figure.svg)


def test_without_another_tool_there_is_no_contest():
    assert comparison([]) == comparison([replace(ROW, peers=())]) == ()


def test_a_second_quantizer_stands_beside_the_first() -> None:
    both = replace(ROW, peers=(*ROW.peers, PeerSummary(NNCF, 2_000_000, 12.5, 0.95, 0.45)))
    (figure,) = comparison([both, ROW])
    assert "Crosses: NNCF, OpenVINO." in figure.caption
    assert "agreement 90.0 %, 95.0 % and 94.3 %" in figure.alt
    assert "speed 2.00x, 4.00x and 2.50x" in figure.alt
    assert "agreement 90.0 %, – and 94.3 %" in figure.alt
    (alone,) = comparison([ROW])
    assert "Crosses" not in alone.caption
