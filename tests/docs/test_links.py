"""Every link on the pages leads to a file that exists and, where it names one, to a heading on it."""

import re
import subprocess
import unicodedata
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import BLOCK, ROOT, links, name, pages

OTHERS = ("CONTRIBUTING.md", "CHANGELOG.md", "reference_models/README.md", "reports/README.md")
PAGES = [*pages(), *(ROOT / other for other in OTHERS)]
README_LINES = 150


def anchors(page: Path) -> set[str]:
    """The names of a page's headings, as a code host and the site make them."""
    titles = re.findall(r"^#+ +(.+?) *$", BLOCK.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    plain = (unicodedata.normalize("NFKD", re.sub(r"[`*]|\]\([^)]*\)|\[", "", title)).lower() for title in titles)
    return {
        re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", title.encode("ascii", "ignore").decode())) for title in plain
    }


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    wrong = []
    for link in links(page.read_text(encoding="utf-8")):
        parts = urlsplit(link)
        if parts.scheme:  # no network here: the form alone
            good = parts.scheme in ("https", "mailto") and bool(parts.netloc or parts.path) and " " not in link
        else:
            target = page.parent / unquote(parts.path) if parts.path else page
            good = target.exists() and (not parts.fragment or parts.fragment in anchors(target))
        wrong += [] if good else [link]
    assert wrong == []


def test_a_page_is_reached_from_the_menu_and_the_menu_names_pages() -> None:
    menu = (ROOT / "docs/site/mkdocs.yml").read_text(encoding="utf-8").split("\nnav:", 1)[1]
    named = set(re.findall(r"([\w/.]+\.md)$", menu, re.MULTILINE))
    own = {page.relative_to(ROOT / "docs").as_posix() for page in pages() if page.is_relative_to(ROOT / "docs")}
    assert own - named == set()
    assert [one for one in named - own - {"index.md"} if not (ROOT / one).is_file()] == []


def test_every_command_has_a_page_and_a_row_in_the_readme() -> None:
    from quantseg.cli.commands import COMMANDS

    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    table = (ROOT / "docs/commands/index.md").read_text(encoding="utf-8")
    for command in (function.__name__ for function in COMMANDS):
        page = ROOT / f"docs/commands/{command}.md"
        assert page.is_file(), f"write docs/commands/{command}.md; see those beside it"
        text = page.read_text(encoding="utf-8")
        assert text.count("<!-- options -->") == 1, page
        assert f"(docs/commands/{command}.md)" in readme
        assert f"({command}.md)" in table


def test_options_that_pages_name_exist() -> None:
    """A flag in backticks, behind a command on the page of that command, is one of its flags."""
    import typer

    from quantseg.cli.commands import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    known = {
        word for command in commands.values() for one in command.params for word in (*one.opts, *one.secondary_opts)
    }
    known |= {"--completion", "--debug", "--help", "--version"}
    foreign = {"--inputs-as-nchw", "--saved-model", "--opset", "--output"}  # of tf2onnx
    wrong = {
        f"{name(page)}: {flag}"
        for page in pages()
        for code in re.findall(r"`([^`\n]*)`", BLOCK.sub("", page.read_text(encoding="utf-8")))
        for flag in re.findall(r"(?<![\w-])--[a-z][\w-]*", code)
        if flag not in known | foreign and "python -m" not in code and "pip" not in code
    }
    assert wrong == set()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= README_LINES


def test_no_page_is_left_out_of_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "docs"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    if not listed:
        pytest.skip("not a checkout")
    ignored = subprocess.run(
        ["git", "check-ignore", *[name(page) for page in pages()]],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ignored.stdout == ""
