"""Marks in written files are found again, and tell what was changed."""

import json
import zipfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from quantseg.files import write_json, write_text
from quantseg.files.origin import MADE_BY, Origin, found_in

OURS = Origin.of("report", "a", "b")
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text().filter(lambda key: key != MADE_BY), VALUES, max_size=4)
SAME_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@SAME_FILE
@given(st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_a_marked_text_is_found_and_a_changed_one_told(tmp_path: Path, text: str) -> None:
    path = tmp_path / "page"
    write_text(path, OURS.marked(text))
    found = found_in(path)
    assert found is not None
    assert (found.origin, found.changed) == (OURS, False)
    write_text(path, "more" + OURS.marked(text))
    changed = found_in(path)
    assert changed is not None
    assert (changed.origin, changed.changed) == (OURS, True)


@SAME_FILE
@given(OBJECTS | st.lists(OBJECTS, min_size=1, max_size=3))
def test_marked_json_is_found_and_a_changed_one_told(tmp_path: Path, value: object) -> None:
    path = tmp_path / "values"
    write_json(path, OURS.marked_json(value))
    found = found_in(path)
    assert found is not None
    assert (found.origin, found.changed) == (OURS, False)
    content = json.loads(path.read_text())
    (content[0] if isinstance(content, list) else content)["one more"] = 1
    write_json(path, content)
    changed = found_in(path)
    assert changed is not None
    assert changed.changed


def test_an_archive_has_the_mark_as_its_comment(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "run.npz", "w") as archive:
        archive.writestr("a", "b")
        archive.comment = OURS.comment().encode()
    found = found_in(tmp_path / "run.npz")
    assert found is not None
    assert (found.origin, found.changed) == (OURS, False)


@pytest.mark.parametrize(
    "content",
    [
        "", "mine", "{", "{}", "[]", "[1]", "null", '{"made_by": 3}', '{"made_by": "quantseg report"}', "[" * 100_000,
        "<!-- quantseg report inputs=12 -->", f"{OURS.comment('x')} and more", '{"made_by": "\\ud800"}',
    ],
)  # fmt: skip
def test_other_files_have_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "x").write_text(content)
    assert found_in(tmp_path / "x") is None


def test_another_command_and_other_inputs_are_another_origin() -> None:
    assert len({OURS, Origin.of("report", "ab"), Origin.of("compare", "a", "b"), Origin.of("report", "b", "a")}) == 4
