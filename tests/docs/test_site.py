"""The site: options of each command come from the command line, links to files of the repository go along."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer

from quantseg.cli.commands import COMMANDS, app
from tests.docs.pages import ROOT


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs/site/hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def shown(hooks: ModuleType, source: str, text: str) -> str:
    """The Markdown of a page as the site takes it. source: the page's path in the repository."""
    file = SimpleNamespace(
        abs_src_path=str(ROOT / source), src_uri=hooks._on_site(ROOT / source), name=Path(source).stem.lower()
    )
    page = SimpleNamespace(file=file)
    made: str = hooks.on_page_markdown(text, page=page)
    return made


@pytest.mark.parametrize("name", [function.__name__ for function in COMMANDS])
def test_every_option_of_a_command_stands_on_its_page(hooks: ModuleType, name: str) -> None:
    text = shown(hooks, f"docs/commands/{name}.md", hooks.OPTIONS)
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    for one in command.params:
        words = [] if one.hidden or one.param_type_name == "argument" or one.name == "help" else one.opts
        assert [word for word in words if f"`{word}" not in text] == []
    assert all(row.count("|") - row.count("\\|") == 3 for row in text.splitlines() if row.startswith("|"))


@pytest.mark.parametrize(
    ("source", "link", "moved"),
    [
        ("README.md", "[a](docs/start.md)", "[a](start.md)"),
        ("README.md", "[`a`](docs/commands/demo.md#x)", "[`a`](commands/demo.md#x)"),
        ("docs/start.md", "[a](../README.md)", "[a](index.md)"),
        ("docs/commands/report.md", "[a](../../reports/README.md)", "[a](../reports/README.md)"),
        ("docs/commands/report.md", "[a](../../reports/)", "[a](../reports/README.md)"),
        ("docs/start.md", "[a](https://example.org/x.md)", "[a](https://example.org/x.md)"),
        ("docs/start.md", "[a](missing.md)", "[a](missing.md)"),
    ],
)
def test_links_go_to_where_the_file_lies_on_the_site(hooks: ModuleType, source: str, link: str, moved: str) -> None:
    assert shown(hooks, source, link) == moved


def test_console_blocks_show_what_was_printed(
    hooks: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "```console\n$ quantseg demo\n```\n"
    assert shown(hooks, "docs/start.md", text) == text
    monkeypatch.setenv(hooks.OUTPUTS, str(tmp_path))
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/start.md.json").write_text(json.dumps({"quantseg demo": "wrote a\nwrote b\n"}))
    assert shown(hooks, "docs/start.md", text) == "```console\n$ quantseg demo\nwrote a\nwrote b\n```\n"


def test_long_outputs_are_shortened(hooks: ModuleType) -> None:
    lines = hooks._shortened("x" * 999 + "\n" + "y\n" * 99).splitlines()
    assert len(lines) == hooks.LINES
    assert len(lines[0]) == hooks.WIDTH + 1
    assert lines[-1] == f"… {100 - hooks.LINES + 1} more lines"
