import hashlib
import json
import math
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.errors import OutputError
from quantseg.files import (
    check_file,
    check_writable,
    discard,
    json_text,
    limits,
    open_file,
    read_bytes,
    read_json,
    replacing,
    sha256_of_file,
    write_bytes,
    write_json,
    write_text,
)
from quantseg.progress import quiet
from tests.support.special_files import SPECIAL, pipe


def everything_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_is_written_whole_and_its_folders_are_made(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b" / "out.bin"
    write_bytes(target, b"\x00\r\n")
    assert target.read_bytes() == b"\x00\r\n"
    assert everything_in(tmp_path) == ["a", "b", "out.bin"]


def test_text_is_utf8_with_plain_line_ends(tmp_path: Path) -> None:
    write_text(tmp_path / "t", "µ\nx\r\n")
    assert (tmp_path / "t").read_bytes() == "µ\nx\r\n".encode()


def test_json_keeps_order_and_letters_and_refuses_what_json_lacks(tmp_path: Path) -> None:
    target = tmp_path / "v.json"
    write_json(target, {"b": [1, 0.1], "a": "µ"})
    assert list(json.loads(target.read_text(encoding="utf-8")).items()) == [("b", [1, 0.1]), ("a", "µ")]
    assert "µ" in target.read_text(encoding="utf-8")
    for value in (math.nan, math.inf):
        with pytest.raises(ValueError, match="not JSON compliant"):
            write_json(target, value)
    assert json.loads(target.read_text(encoding="utf-8"))["b"] == [1, 0.1]


@given(st.text(st.characters()))
def test_json_says_the_true_text_in_letters_that_are_only_read(text: str) -> None:
    written = json_text({text: [text]}, indent=1)
    assert json.loads(written) == {text: [text]}
    assert all(letter.isprintable() or letter == "\n" for letter in written)
    assert written.encode("utf-8")


def test_until_all_is_written_the_old_file_stands(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_text(target, "old")
    with replacing(target) as temporary:
        temporary.write_text("new")
        assert temporary.parent == target.parent
        assert target.read_text() == "old"
    assert target.read_text() == "new"


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "out"
    write_text(target, "old")

    def write_half() -> None:
        with replacing(target) as temporary:
            temporary.write_text("half of the ne")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert (everything_in(tmp_path), target.read_text()) == (["out"], "old")


def test_what_the_system_refuses_becomes_one_line_about_the_target(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(OutputError) as caught, replacing(target):
        raise OSError(28, "No space left on device")
    assert str(caught.value) == f"{target}: cannot be written (No space left on device); choose another place"


@pytest.mark.parametrize("write", [lambda path: write_text(path, "x"), check_writable])
class TestWhatCannotBeWritten:
    def test_a_folder(self, write, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=f"{tmp_path}: is a folder; give a file name"):
            write(tmp_path)

    def test_below_a_file(self, write, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        target = tmp_path / "file" / "out"
        with pytest.raises(OutputError, match=f"{target}: {tmp_path / 'file'} is a file, not a folder"):
            write(target)
        assert everything_in(tmp_path) == ["file"]

    def test_a_read_only_folder(self, write, tmp_path: Path) -> None:
        if os.name == "nt" or os.geteuid() == 0:
            pytest.skip("this user may write everywhere")
        folder = tmp_path / "locked"
        folder.mkdir(mode=0o500)
        with pytest.raises(OutputError, match=r"Permission denied"):
            write(folder / "out")

    @pytest.mark.parametrize("name", [".", "..", "/", "folder/."])
    def test_a_folder_by_other_names(self, write, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "folder").mkdir()
        monkeypatch.chdir(tmp_path / "folder")
        with pytest.raises(OutputError, match=r"is a folder; give a file name"):
            write(Path(name) if name != "folder/." else tmp_path / "folder")
        assert everything_in(tmp_path) == ["folder"]

    @pytest.mark.parametrize("kind", SPECIAL)
    def test_what_is_no_file(self, write, kind: str, tmp_path: Path) -> None:
        make, called = SPECIAL[kind]
        make(tmp_path / "out")
        before = (tmp_path / "out").lstat()
        with pytest.raises(OutputError, match=rf"out: is {called}; give the name of a file, or a new one"):
            write(tmp_path / "out")
        assert (tmp_path / "out").lstat().st_mode == before.st_mode
        assert everything_in(tmp_path) == ["out"]

    @pytest.mark.parametrize("where", ["file", "folder", "nothing", "out"])
    def test_a_symbolic_link(self, write, where: str, tmp_path: Path) -> None:
        """Not written through either: it may have come with the model."""
        (tmp_path / "file").write_text("old")
        (tmp_path / "folder").mkdir()
        (tmp_path / "out").symlink_to(where)
        with pytest.raises(OutputError, match=r"out: is a symbolic link; give the name of a file, or a new one"):
            write(tmp_path / "out")
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "file").read_text() == "old"
        assert everything_in(tmp_path) == ["file", "folder", "out"]

    def test_a_null_character(self, write, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"cannot be written"):
            write(tmp_path / "a\0b")

    def test_a_name_that_is_too_long(self, write, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"xxx: cannot be written"):
            write(tmp_path / ("x" * 300))
        assert everything_in(tmp_path) == []


def test_what_came_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(OutputError, match="is a symbolic link"), replacing(target):
        target.symlink_to("elsewhere")
    assert everything_in(tmp_path) == ["out"]
    assert target.is_symlink()


def test_a_file_below_a_link_to_a_folder_is_written(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    write_text(tmp_path / "link" / "out", "x")
    assert (tmp_path / "real" / "out").read_text() == "x"


@pytest.mark.parametrize("kind", SPECIAL)
@pytest.mark.parametrize("read", [open_file, sha256_of_file, check_file, read_json, lambda p: read_bytes(p, most=9)])
def test_what_is_no_file_is_never_opened(read, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, called = SPECIAL[kind]
    make(tmp_path / "in")
    (tmp_path / "link").symlink_to("in")
    monkeypatch.setattr(os, "open", lambda *of: pytest.fail("it was opened"))
    for name in ("in", "link"):
        with pytest.raises(OSError, match=f"{called}, not a file"):
            read(tmp_path / name)


def test_a_pipe_that_takes_a_files_place_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe(tmp_path / "in")
    monkeypatch.setattr("quantseg.files.check_file", lambda path: None)
    with pytest.raises(OSError, match="a named pipe, not a file"):
        open_file(tmp_path / "in")


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_no_more_is_read_than_allowed(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    if size <= 9:
        assert read_bytes(tmp_path / "f", most=9) == content
    else:
        with pytest.raises(OSError, match="more than 9 bytes"):
            read_bytes(tmp_path / "f", most=9)


@pytest.mark.parametrize("text", ["[" * 200_000, "{", "[[],[],[],[]]"])
def test_json_that_is_none_or_too_much(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "JSON_LISTS", 4 if len(text) < 20 else 1 << 20)
    (tmp_path / "f").write_text(text)
    with pytest.raises(ValueError):
        read_json(tmp_path / "f")


def test_json_is_read_as_it_was_written(tmp_path: Path) -> None:
    value = {"a": [1, 0.5, None, "µ"], "b": {"c": []}}
    write_json(tmp_path / "f", value)
    assert read_json(tmp_path / "f") == value


def test_only_files_are_discarded(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    discard(tmp_path / "file")
    discard(tmp_path / "nothing")
    with pytest.raises(OutputError, match=r"folder: cannot be removed \(.*\); remove it"):
        discard(tmp_path / "folder")
    assert everything_in(tmp_path) == ["folder"]


def test_checking_changes_nothing(tmp_path: Path) -> None:
    write_text(tmp_path / "old", "old")
    check_writable(tmp_path / "old")
    check_writable(tmp_path / "new")
    check_writable(tmp_path / "folder" / "in folder" / "new")
    assert (everything_in(tmp_path), (tmp_path / "old").read_text()) == (["old"], "old")


def test_no_folder_stays_of_a_file_that_was_not_finished(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "folder" / "out"):
        raise KeyboardInterrupt
    assert everything_in(tmp_path) == []


@pytest.mark.parametrize("spelling", ["model", "./model", "folder/../model"])
def test_an_input_is_never_the_output(spelling: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match=r"is another file of this command already; choose another name"):
        check_writable(Path(spelling), taken=(None, tmp_path / "model"))
    check_writable(Path("other"), taken=(None, tmp_path / "model"))


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_digest_of_a_file_read_in_pieces(size: int, tmp_path: Path) -> None:
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    assert sha256_of_file(tmp_path / "f") == hashlib.sha256(content).hexdigest()


def test_the_quiet_track_hands_on_what_it_is_given() -> None:
    items = iter([1, 2])
    assert quiet(items, total=2, what="Counting") is items
