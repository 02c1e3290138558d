"""What CONTRIBUTING and the glossary name exists: files, folders, and the tables in them."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ("CONTRIBUTING.md", "docs/glossary.md")


def paths_in(text: str) -> list[str]:
    """What stands in backticks and looks like a file or a folder."""
    return [word for word in re.findall(r"`([\w./]+)`", text) if word.endswith((".py", ".md", ".toml", "/"))]


def place(path: str) -> Path:
    """Where it lies: in the package or, with a path of the repository, beside it."""
    inside = ROOT / "quantseg" / path
    return inside if inside.exists() else ROOT / path


@pytest.mark.parametrize("page", PAGES)
def test_paths_exist(page: str) -> None:
    paths = paths_in((ROOT / page).read_text(encoding="utf-8"))
    assert len(paths) > 30
    assert [path for path in paths if not place(path).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, "README.md", "CHANGELOG.md"])
def test_links_lead_to_files(page: str) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", (ROOT / page).read_text(encoding="utf-8"))
    assert [link for link in links if not (ROOT / page).parent.joinpath(link).exists()] == []


@pytest.mark.parametrize("page", PAGES)
def test_tables_and_classes_are_in_the_files_of_their_row(page: str) -> None:
    checked, missing = 0, []
    for row in re.findall(r"^\|.*`.*$", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE):
        files = [place(path) for path in paths_in(row)]
        texts = [p.read_text(encoding="utf-8") for f in files for p in ([f] if f.is_file() else f.glob("*.py"))]
        names = re.findall(r"`([A-Za-z]\w+)` in `|\bof `([A-Z]\w+)`|\bin `([A-Z]\w+)`", row)
        for name in filter(None, (word for found in names for word in found)):
            checked += 1
            missing += [] if any(re.search(rf"\b{name}\b", text) for text in texts) else [name]
    assert checked >= 10
    assert missing == []
