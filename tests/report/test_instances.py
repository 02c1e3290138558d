"""Reports of models of instances: tables and figures, pictures with lost and gained ones in red, words."""

import base64
import io
import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from quantseg.evaluation.agreement import Evaluation, evaluate
from quantseg.evaluation.predictions import Comparison, compare
from quantseg.report import PEER, Peer, Report, tables
from quantseg.report.instance_images import FLOAT_PANEL, INT8_PANEL, instance_image, outlined
from quantseg.report.palette import IGNORED, LOST, class_colours
from quantseg.report.rendering import html_report, markdown_report
from quantseg.report.sections import sections
from quantseg.report.summary import Summary
from quantseg.report.verdict import headlines, verdict
from tests.support import instance_heads as heads
from tests.support.instance_heads import CLASSES, Detector, Images, instances_of, recipe
from tests.support.sample_report import peer_report, report

CELL, ROD, OTHER = (1, 1, 9, 9, 0.9, 0), (12, 2, 20, 20, 0.8, 1), (22, 10, 30, 22, 0.7, 0)
REAL, INT8, LABELS = ([CELL, ROD],), ([CELL, OTHER],), ([CELL, ROD],)


@pytest.fixture(autouse=True)
def _heads() -> Iterator[None]:
    with heads.registered():
        yield


def evaluated(*, labelled: bool = True, int8: Any = INT8) -> Evaluation:
    return evaluate(Detector(REAL), Detector(int8), Images(LABELS if labelled else (None,)), recipe())


def compared(labels: Any = LABELS, *, crowd: bool = False) -> Comparison:
    return compare(Detector(REAL), Detector(INT8), Images(labels, crowd), recipe(), 0)


def made(**changes: Any) -> Report:
    content = {"evaluation": evaluated(), "images": (instance_image(compared(), CLASSES, 0.5),)}
    return report(**{**content, **changes})


def pixels(panel: Any) -> np.ndarray:
    data = base64.b64decode(panel.uri.removeprefix("data:image/png;base64,"))
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


def is_colour(rgb: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    found: np.ndarray = (rgb == colour).all(axis=2)
    return found


# Pictures


def test_lost_ones_are_red_in_the_float_panel_and_gained_ones_in_the_other() -> None:
    drawn = instance_image(compared(), CLASSES, 0.5)
    shown = {panel.title: pixels(panel) for panel in drawn.panels}
    assert list(shown) == ["image", "label", FLOAT_PANEL, INT8_PANEL]
    cell, rod, other = heads.rectangles(np.array([CELL, ROD, OTHER]))
    red = {title: is_colour(rgb, LOST) for title, rgb in shown.items()}
    assert not red["label"].any()
    assert red[FLOAT_PANEL].any()
    assert not (red[FLOAT_PANEL] & ~rod).any()
    assert not (red[INT8_PANEL] & ~other).any()
    colours = class_colours(CLASSES)
    for title in (FLOAT_PANEL, INT8_PANEL):
        outline = is_colour(shown[title], colours[0])
        assert outline[1, 1:9].all()
        assert outline[1:9, 8].all()
        assert not (outline & ~cell).any()
    assert (drawn.present, drawn.ignored, drawn.note) == ((0, 1), False, "; 1 lost, 1 gained")


def test_outlines_are_two_pixels_wide_and_larger_instances_lie_below() -> None:
    canvas = np.full((24, 32, 3), 200, np.uint8)
    inner, outer = (8, 8, 16, 16, 0.9, 0), (2, 2, 26, 22, 0.8, 1)
    drawn = outlined(canvas, instances_of([inner, outer]), class_colours(CLASSES))
    assert is_colour(drawn, class_colours(CLASSES)[0]).sum() == 8 * 8 - 4 * 4
    assert is_colour(drawn, class_colours(CLASSES)[1]).sum() == 20 * 24 - 16 * 20
    assert (drawn[0, 0] == 200).all()
    assert (drawn[12, 12] != 200).any()  # tinted


def test_crowds_are_grey() -> None:
    drawn = instance_image(compared(([CELL, ROD],), crowd=True), CLASSES, 0.5)
    label = next(pixels(panel) for panel in drawn.panels if panel.title == "label")
    assert drawn.ignored
    assert is_colour(label, IGNORED)[2:20, 12].all()


def test_without_labels_and_image_there_are_two_panels() -> None:
    pair = compared((None,))
    bare = replace(pair, reference=replace(pair.reference, image=None))
    assert [panel.title for panel in instance_image(bare, CLASSES, 0.5).panels] == [FLOAT_PANEL, INT8_PANEL]


def test_a_small_instance_of_a_large_image_is_drawn() -> None:
    pair = compared((None,))
    masks = np.zeros((1, 900, 1200), np.bool_)
    masks[0, 450, 600] = True
    one = replace(instances_of([CELL]), masks=masks)
    large = np.zeros((1, 2, 900, 1200), np.bool_)
    sides = [replace(side, instances=(one,), masks=large, image=None) for side in (pair.reference, pair.candidate)]
    drawn = instance_image(Comparison(*sides), CLASSES, 0.5)
    assert is_colour(pixels(drawn.panels[0]), class_colours(CLASSES)[0]).sum() == 1
    assert (drawn.panels[0].width, drawn.panels[0].height) == (400, 300)


def test_masks_are_no_instances() -> None:
    pair = compared()
    bare = replace(pair, candidate=replace(pair.candidate, instances=None))
    with pytest.raises(ValueError, match="no instances"):
        instance_image(bare, CLASSES, 0.5)


# The section


def tables_of(one: Report) -> dict[str, Any]:
    (found,) = (section for section in sections(one) if section.title == "Instances")
    return {table.caption: table for table in found.tables}


def test_the_section_counts_what_was_kept_lost_and_gained() -> None:
    found = tables_of(made())
    table = found["Instances of each class"]
    assert table.headers == ("class", "float", "int8", "kept", "kept at 0.9", "lost", "gained", "mean IoU")
    assert table.rows == (
        ("all", 2, 2, "50.0 %", "50.0 %", 1, 1, "100.0 %"),
        ("cell", 1, 2, "100.0 %", "100.0 %", 0, 1, "100.0 %"),
        ("rod", 1, 0, "0.0 %", "0.0 %", 1, 0, "–"),
    )
    assert table.levels[0, 3] == table.levels[2, 3] == "loses some"
    assert found["Images with the most lost and gained"].rows == (("0.png", *table.rows[0][1:]),)


def test_the_section_shows_ap_by_size_and_class() -> None:
    found = tables_of(made())
    assert found["Mask AP by size"].rows[0] == ("all", "100.0 %", "50.0 %", "−50.0", "50.0 %")
    assert found["Mask AP by size"].rows[3][1:] == ("–", "–", "–", "–")
    assert found["Mask AP by size"].levels == {(0, 3): "loses"}
    rows = {row[0]: row[1:4] for row in found["Mask AP of each class"].rows}
    assert rows == {"cell": ("100.0 %", "100.0 %", "0.0"), "rod": ("100.0 %", "0.0 %", "−100.0")}


def test_without_labels_only_agreement_is_shown() -> None:
    found = tables_of(made(evaluation=evaluated(labelled=False)))
    assert found["Mask AP by size"].headers == ("instances", "agreement")
    assert found["Mask AP of each class"].rows == (("cell", "100.0 %"), ("rod", "0.0 %"))


def test_other_quantizers_stand_beside() -> None:
    peer = peer_report().peers[0]
    other = replace(peer, evaluation=evaluated(int8=([CELL, ROD],)))
    one = made(peers=(other,))
    rows = tables_of(one)["Beside other quantizers"].rows
    assert [(row[0], row[5], row[6], row[8]) for row in rows] == [("int8", 1, 1, "50.0 %"), ("ORT", 0, 0, "100.0 %")]
    assert "finds 100.0 % of the float model's instances; its mask AP is 100.0 %" in verdict(one.summary)
    failed = made(peers=(Peer(PEER, failed="it says no"),))
    assert "Beside other quantizers" not in tables_of(failed)


def test_a_report_of_masks_has_no_such_section() -> None:
    assert "Instances" not in [section.title for section in sections(report())]
    values = report().to_json()
    assert "instances" not in values["evaluation"]
    assert {"kept", "float_ap", "int8_ap"} & {*values["summary"]} == set()
    assert "kept" not in peer_report().to_json()["summary"]["peers"][0]
    assert not any("AP" in headline.label for headline in headlines(report()))


# The whole report


def test_figures_name_classes_and_sizes() -> None:
    (found,) = (section for section in sections(made()) if section.title == "Instances")
    first, second = found.figures
    assert first.alt == "Instances: cell 1 kept, 0 lost, 1 gained, rod 0 kept, 1 lost, 0 gained"
    assert second.alt.startswith("Mask AP, float and int8: all 100.0 % and 50.0 %, small 100.0 % and 50.0 %")
    assert found.figures == next(s for s in sections(made()) if s.title == "Instances").figures


def test_nothing_found_draws_nothing() -> None:
    nothing = evaluate(Detector(([],)), Detector(([],)), Images((None,)), recipe())
    (found,) = (section for section in sections(made(evaluation=nothing, images=())) if section.title == "Instances")
    assert found.figures == ()


def test_pages_open_with_instances_and_tables_fit() -> None:
    one = made()
    page, text = html_report(one), markdown_report(one)
    for form in (page, text):
        assert "Loses the instances" in form
    assert "lost (float) or gained (int8)" in page
    assert "% of the pixels differ; 1 lost, 1 gained" in page
    assert max(len(line) for line in text.splitlines() if line.startswith("|")) <= tables.WIDTH
    labels = [(headline.label, headline.value) for headline in headlines(one)]
    assert ("instances kept", "50.0 %") in labels
    assert ("points of mask AP", "−50.0") in labels


def test_the_summary_comes_back_from_json() -> None:
    for one in (made(), report(), peer_report()):
        values = json.loads(json.dumps(one.summary.to_json(), allow_nan=False))
        assert Summary.from_json(values) == one.summary
    assert made().summary.kept == 0.5
    assert made().summary.ap_change == pytest.approx(-0.5)


def test_saved_files_hold_it_all(tmp_path: Path) -> None:
    made().save(tmp_path)
    values = json.loads((tmp_path / "report.json").read_text())
    assert values["evaluation"]["instances"]["lost"] == 1
    assert values["verdict"]["instances"]["kept"] == 0.5
    assert values["verdict"]["title"] == "Loses the instances"
    assert asdict(made().judgement)["instances"]["gained"] == 1
