"""What the site needs beside the pages: files that they link to, the options of commands, and what commands print.

Pages are written for two readers: a folder on a code host, where ../reports/README.md is a file beside docs/, and the
site, whose root is docs/. Here every link is taken to the file it means, and that file to its place on the site.
"""

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
LINK = re.compile(r"(\]\(|(?:src|href)=\")(?!\w+:|#)([^)\"#\s]+)")
OPTIONS = "<!-- options -->"
OUTPUTS = "QUANTSEG_DOCS_OUTPUTS"
"""Names the folder in which tests/docs/test_blocks.py left what the commands of console blocks print."""

CONSOLE = re.compile(r"^(```console\n)(.*?)(^```$)", re.DOTALL | re.MULTILINE)
WIDTH, LINES = 200, 48
"""Of what a command prints, what a page shows."""

HOME = "README.md"
"""The site's first page."""

NAMED_IN_NAV = (HOME, "reference_models/README.md", "CONTRIBUTING.md", "CHANGELOG.md")


def on_files(files: Any, *, config: Any) -> Any:
    """Adds the files outside of docs/ that pages name, and those that these name."""
    from mkdocs.structure.files import File

    known = {file.src_uri for file in files}
    waiting = [ROOT / name for name in NAMED_IN_NAV] + [DOCS / name for name in known if name.endswith(".md")]
    while waiting:
        page = waiting.pop()
        name = _on_site(page)
        if name not in known:
            known.add(name)
            added = File(name, None, config.site_dir, config.use_directory_urls)
            added.abs_src_path = str(page)
            files.append(added)
        if page.suffix == ".md":
            targets = (_target(page, link) for _, link in LINK.findall(page.read_text(encoding="utf-8")))
            waiting += [target for target in targets if target.is_file() and _on_site(target) not in known]
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links as the site has them; the options of a command in place of their comment."""
    source = Path(page.file.abs_src_path)
    here = Path(page.file.src_uri).parent

    def moved(match: re.Match[str]) -> str:
        target = _target(source, match[2])
        if not target.is_file():  # left as it is, for the site's own check
            return match[0]
        link = os.path.relpath(_on_site(target), here)
        # In HTML nobody but the browser resolves a link, and the page is a folder deeper there.
        deeper = match[1].endswith('"') and page.file.name != "index"
        return f"{match[1]}{'../' if deeper else ''}{Path(link).as_posix()}"

    text = _with_outputs(LINK.sub(moved, markdown), source)
    return text.replace(OPTIONS, _options(source.stem)) if OPTIONS in text else text


def _with_outputs(text: str, page: Path) -> str:
    """Console blocks with what each command printed when the blocks were last run, if they were."""
    folder = os.environ.get(OUTPUTS)
    kept = Path(ROOT, folder or "", f"{page.relative_to(ROOT).as_posix()}.json")
    if folder is None or not kept.is_file():
        return text
    printed = json.loads(kept.read_text(encoding="utf-8"))

    def answered(found: re.Match[str]) -> str:
        commands = re.findall(r"^\$ (.+)$", found[2], re.MULTILINE)
        return found[1] + "\n".join(f"$ {one}\n{_shortened(printed.get(one, ''))}" for one in commands) + found[3]

    return CONSOLE.sub(answered, text)


def _shortened(output: str) -> str:
    """At most LINES lines of at most WIDTH columns."""
    lines = [line if len(line) <= WIDTH else f"{line[:WIDTH]}…" for line in output.rstrip().splitlines()]
    if len(lines) > LINES:
        lines = [*lines[: LINES - 1], f"… {len(lines) - LINES + 1} more lines"]
    return "".join(f"{line}\n" for line in lines)


def _target(page: Path, link: str) -> Path:
    """The file that a link of the page means."""
    target = Path(os.path.normpath(page.parent / link))
    return target / "README.md" if target.is_dir() else target


def _on_site(file: Path) -> str:
    """Where a file of the repository lies on the site."""
    name = file.relative_to(ROOT).as_posix()
    return "index.md" if name == HOME else name.removeprefix("docs/")


def _options(name: str) -> str:
    """The arguments and options of a command, as tables, from the command line itself."""
    import typer

    sys.path.insert(0, str(ROOT))
    from quantseg.cli.commands import app

    command: Any = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    panels: dict[str, list[str]] = {}
    for one in command.params:
        if not one.hidden and one.name != "help":
            title = one.rich_help_panel or ("Arguments" if one.param_type_name == "argument" else "Options")
            panels.setdefault(title, []).append(f"| {_words(one)} | {_cell(_meaning(one))} |")
    tables = (f"### {title}\n\n| say | for |\n|---|---|\n" + "\n".join(rows) for title, rows in panels.items())
    return "\n\n".join([command.help or "", *tables])


def _words(one: Any) -> str:
    """An option's flags, or an argument's name."""
    value = one.metavar or one.name.upper()
    if one.param_type_name == "argument":
        return f"`{value}`"
    words = [*one.opts, *one.secondary_opts]
    return ", ".join(f"`{word}`" if one.is_flag else f"`{word} {value}`" for word in words)


def _meaning(one: Any) -> str:
    """An option's help, and its default where the help does not tell it."""
    told = "efault" in (one.help or "") or one.default in (None, False, "", (), []) or callable(one.default)
    default = "" if told or one.required else f" Default: {'yes' if one.default is True else one.default}."
    return f"{one.help or ''}{default}{' Required.' if one.required else ''}"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")
