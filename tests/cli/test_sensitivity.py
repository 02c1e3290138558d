"""quantseg sensitivity, and the figure that it draws."""

import json
import math
import re
from xml.etree import ElementTree

import pytest

from quantseg.data.heads import JudgedOutputs
from quantseg.mixed_precision.sensitivity import NOTHING_LOST, Loss, NodeSensitivity, Sensitivity
from quantseg.report.figures.sensitivity import sensitivity as drawn
from quantseg.report.rendering import svg_file
from quantseg.report.tables import WIDTH

JUDGED = JudgedOutputs(("y",), ())


@pytest.mark.slow
def test_the_command_ranks_the_nodes_and_writes_json_and_figure(quantseg, float_model, images, tmp_path):
    files = tmp_path / "s.json", tmp_path / "s.svg"
    words = ("sensitivity", float_model, "--data", images, "--top", 5, "--threads", 2)
    done = quantseg(*words, "--json", files[0], "--figure", files[1])
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= WIDTH
    table = done.out.split("\n\n")[0].splitlines()
    assert len(table) == 2 + 5
    result = json.loads(files[0].read_text())
    assert f"… and {len(result['nodes']) - 5} more nodes; 3 images, 3 to calibrate" in done.out
    assert result["measured_on"] == ["0.png", "1.png", "2.png"]
    assert result["macs"] == sum(node["macs"] for node in result["nodes"])
    worst = min(result["nodes"], key=lambda node: node["alone"]["sqnr_db"])
    assert table[2].split()[:2] == [worst["node"], worst["op_type"]]
    assert f"{worst['alone']['sqnr_db']:.1f}" in table[2]
    first = [path.read_bytes() for path in files]
    assert quantseg(*words, "--json", files[0], "--figure", files[1]).code == 0
    assert [path.read_bytes() for path in files] == first


def test_explain_tells_where_the_error_comes_from_within_a_screens_width(quantseg, float_model, images, tmp_path):
    words = ("sensitivity", float_model, "--data", images, "--explain", "--top", 3, "--limit", 2)
    done = quantseg(*words, "--json", tmp_path / "s.json")
    assert done.code == 0, done.err
    assert max(len(line) for line in done.out.splitlines()) <= WIDTH
    headings = "The whole", "Tensors", "Channels that", "Weights", "Along the graph"
    assert [any(line.startswith(word) for line in done.out.splitlines()) for word in headings] == [True] * 5
    told = json.loads((tmp_path / "s.json").read_text())
    assert len(told["measured_on"]) == told["images"] == 2
    assert told["growth"][-1]["risk"] == told["activations"]
    assert f"{told['whole']:.4f}" in done.out


@pytest.mark.parametrize(
    ("flags", "counts", "said"),
    [
        (("--limit", 1), "1 images, 1 to calibrate", None),
        (("--limit", 1, "--calib-limit", 2), "1 images, 2 to calibrate", None),
        (("--calib-limit", 2), "3 images, 2 to calibrate", None),
        (("--images", 1), "1 images, 3 to calibrate", "give --limit 1"),
        (("--images", 1, "--limit", 2), "1 images, 2 to calibrate", "give --limit 1 --calib-limit 2"),
    ],
)
def test_fewer_images_and_no_second_plan(quantseg, float_model, images, tmp_path, flags, counts, said):
    done = quantseg(
        *("sensitivity", float_model, "--data", images, "--calib", images, *flags),
        *("--no-left-float", "--top", 100, "--json", tmp_path / "s.json"),
    )
    assert f"\n{counts}" in done.out
    warnings = [line for line in done.err.splitlines() if line.startswith("warning: ")]
    assert warnings == ([] if said is None else [f"warning: --images is old: {said}"])
    assert all(node["left_float"] is None for node in json.loads((tmp_path / "s.json").read_text())["nodes"])


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--figure", "s.png"), "figures are drawn as SVG"),
        (("--explain", "--figure", "s.svg"), "--figure draws the table of nodes"),
        (("--figure", "s.svg", "--json", "s.svg"), "is another file of this command already"),
        (("--exclude", "*"), "every node stays float"),
        (("--exclude", "no such"), "no node has this name"),
        (("--calib", "nowhere"), "nowhere"),
        (("--images", 1, "--calib-limit", 2), "--images is the old word for --limit"),
    ],
)
def test_what_is_bad_is_one_line(quantseg, float_model, images, tmp_path, monkeypatch, flags, words):
    monkeypatch.chdir(tmp_path)
    done = quantseg("sensitivity", float_model, "--data", images, *flags)
    assert done.code == 2
    (line,) = (line for line in done.err.splitlines() if not line.startswith("note: "))
    assert line.startswith("error: ")
    assert words in line
    assert not list(tmp_path.iterdir())


def test_a_quantised_model_is_refused(quantseg, int8_model, images):
    done = quantseg("sensitivity", int8_model, "--data", images)
    assert done.code == 2
    assert "is quantised already" in done.err


# The figure


def result(count=3, *, left_float=True):
    nodes = tuple(
        NodeSensitivity(
            f"/net/<b>&{k}/Conv",
            "Conv",
            100 * k,
            Loss(30.0 + k, 0.01 / (k + 1)),
            Loss(40.0, 0.0) if k else None,
            Loss(31.0 + k, 0.005),
            Loss(20.0 - k, 0.02) if left_float else None,
        )
        for k in range(count)
    )
    return Sensitivity(Loss(19.5, 0.03), 4, nodes, 1000, JUDGED)


def test_the_figure_is_one_svg_that_stands_alone():
    figure = drawn(result(), top=2)
    root = ElementTree.fromstring(svg_file(figure))
    words = "".join(root.itertext())
    assert root.get("aria-label") == figure.alt
    assert all(word in words for word in ("/net/<b>&0/Conv", "SQNR, dB", "gain if left float, dB", "the whole plan"))
    assert "&2" not in words
    assert not re.search(r"#0[0-9a-f]0[0-9a-f]0[0-9a-f]\b", figure.svg)
    assert figure == drawn(result(), top=2)


def test_what_was_not_measured_has_no_panel():
    assert "gain" not in drawn(result(left_float=False), top=3).svg


def test_nothing_lost_is_drawn_too():
    one = NodeSensitivity("c", "Conv", 0, NOTHING_LOST, NOTHING_LOST, NOTHING_LOST, Loss(-math.inf, 1.0))
    figure = drawn(Sensitivity(NOTHING_LOST, 1, (one,), 0, JUDGED), top=20)
    assert "c ∞" in figure.alt


def test_folding_is_refused_as_it_has_no_place_here(quantseg, float_model, images):
    outcome = quantseg("sensitivity", float_model, "--data", images, "--fold-argmax")
    fact = "--fold-argmax: sensitivity measures nodes at the float model's own outputs; leave it out"
    assert (outcome.code, outcome.err.splitlines()[-1]) == (2, f"error: {fact}")
