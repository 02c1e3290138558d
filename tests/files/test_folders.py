"""A folder takes its name when it is complete; one that is not leaves nothing behind."""

from pathlib import Path

import pytest

from quantseg import files
from quantseg.errors import OutputError
from quantseg.files.folders import check_folder_writable, files_in, replacing_folder


def test_a_folder_appears_whole_with_those_above_it(tmp_path: Path) -> None:
    target = tmp_path / "new" / "app"
    with replacing_folder(target) as made:
        (made / "a").write_text("1")
        assert not target.exists()
    assert files_in(target) == ("a",)
    assert [path.name for path in target.parent.iterdir()] == ["app"]


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    def fails() -> None:
        with replacing_folder(tmp_path / "new" / "app") as made:
            (made / "a").write_text("1")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert [*tmp_path.iterdir()] == []


def test_what_a_signal_interrupts_is_removed(tmp_path: Path) -> None:
    def is_interrupted() -> None:
        with replacing_folder(tmp_path / "app") as made:
            (made / "deep").mkdir()
            (made / "deep" / "a").write_text("1")
            files.abandon()
            assert [*tmp_path.iterdir()] == []

    with pytest.raises(OutputError, match="cannot be written"):
        is_interrupted()
    assert [*tmp_path.iterdir()] == []


def test_an_older_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "app"
    target.mkdir()
    (target / "a").write_text("old")
    (target / "mine").write_text("kept")
    rename = Path.rename

    def fails(self: Path, to: Path) -> Path:
        if self.name.endswith(".tmp"):
            raise OSError(5, "Input/output error")
        return rename(self, to)

    monkeypatch.setattr(Path, "rename", fails)
    with pytest.raises(OutputError, match="Input/output error"), replacing_folder(target) as made:
        (made / "a").write_text("new")
    monkeypatch.undo()
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a": "old", "mine": "kept"}
    assert [path.name for path in tmp_path.iterdir()] == ["app"]


def test_of_an_older_folder_what_is_ours_goes_and_the_rest_stays(tmp_path: Path) -> None:
    target = tmp_path / "app"
    target.mkdir()
    for name in ("a", "b", "mine"):
        (target / name).write_text("old")
    with replacing_folder(target, ours=("a", "b")) as made:
        (made / "a").write_text("new")
    assert {path.name: path.read_text() for path in target.iterdir()} == {"a": "new", "mine": "old"}


@pytest.mark.parametrize("name", [".", "file"])
def test_what_is_no_folder_of_its_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(OutputError):
        check_folder_writable(Path(name))
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
