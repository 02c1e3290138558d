"""An app's folder is written whole or not at all; it replaces its own like, and keeps what others put into it."""

import json
from pathlib import Path

import pytest

from quantseg.errors import OutputError
from quantseg.files.origin import Origin
from quantseg.shipping import LISTING, App, AppFacts, check_folder, write_folder
from quantseg.shipping.formats import Formats

FACTS = AppFacts("net", (8, 8), "RGB", "bilinear", "pixels", "mask", "NHW", False, ("a",))
OWN, OTHER = Origin.of("ship", "one"), Origin.of("ship", "two")


def app(**files: str) -> App:
    return App(FACTS, {name.replace("__", "/"): text.encode() for name, text in files.items()}, Formats())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(app(page="1", model__facts="2"), tmp_path / "app", OWN)


def contents(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_files_and_their_list(folder: Path) -> None:
    found = contents(folder)
    assert found.keys() == {"page", "model/facts", LISTING}
    assert json.loads(found[LISTING])["files"].keys() == {"page", "model/facts"}


def test_its_own_like_is_replaced_and_old_files_go(folder: Path) -> None:
    check_folder(folder, OWN)
    write_folder(app(page="new"), folder, OWN)
    assert contents(folder).keys() == {"page", LISTING}
    assert contents(folder)["page"] == "new"
    assert [path.name for path in folder.parent.iterdir()] == ["app"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "page").write_text("x"), "page: was changed since quantseg ship wrote it"),
        (lambda folder: (folder / "notes").write_text("x"), "holds notes, which quantseg ship did not write"),
        (lambda folder: (folder / LISTING).unlink(), "is there and was not written by quantseg ship"),
        (lambda folder: (folder / LISTING).write_text("[" * 99), "is there and was not written by quantseg ship"),
        (
            lambda folder: (folder / LISTING).write_text((folder / LISTING).read_text().replace("page", "other")),
            f"{LISTING} was changed since quantseg ship wrote it",
        ),
    ],
)  # fmt: skip
def test_what_others_changed_is_kept(change: object, said: str, folder: Path) -> None:
    change(folder)  # type: ignore[operator]
    before = contents(folder)
    with pytest.raises(OutputError, match="force=True") as raised:
        check_folder(folder, OWN)
    assert said in str(raised.value)
    assert contents(folder) == before
    check_folder(folder, OWN, force=True)


def test_a_link_to_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "page").write_text("1")
    (folder / "page").unlink()
    (folder / "page").symlink_to(tmp_path / "page")
    with pytest.raises(OutputError, match="holds page, which quantseg ship did not write"):
        check_folder(folder, OWN)


def test_of_another_model(folder: Path) -> None:
    with pytest.raises(OutputError, match="written for another model or other images"):
        check_folder(folder, OTHER)
    with pytest.raises(OutputError, match="is there and was not written"):
        check_folder(folder)


def test_forced_it_keeps_files_of_others(folder: Path) -> None:
    (folder / "model/notes").write_text("mine")
    (folder / "node_modules/x").mkdir(parents=True)
    (folder / "node_modules/x/index.js").write_text("theirs")
    write_folder(app(page="new"), folder, OTHER)
    found = contents(folder)
    assert (found["page"], found["model/notes"], found["node_modules/x/index.js"]) == ("new", "mine", "theirs")


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    check_folder(tmp_path / "app")
    check_folder(tmp_path / "new/app")
    assert [path.name for path in tmp_path.iterdir()] == ["app"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "app").write_text("mine")
    with pytest.raises(OutputError, match="is a file, not a folder"):
        check_folder(tmp_path / "app", force=True)
    with pytest.raises(OutputError, match="name a folder"):
        check_folder(Path(), force=True)


def test_nothing_stays_of_what_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)

    def fails(self: Path, content: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", fails)
    with pytest.raises(OutputError, match="No space left"):
        write_folder(app(page="new"), folder, OWN)
    assert contents(folder) == before
    assert [path.name for path in folder.parent.iterdir()] == ["app"]
