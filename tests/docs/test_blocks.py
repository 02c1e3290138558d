"""Every block of code on the pages runs, in a folder with the demo's model and images; what does not says why."""

import contextlib
import hashlib
import importlib.util
import io
import json
import os
import re
import shlex
import shutil
import sys
import warnings
from pathlib import Path

import pytest

from quantseg.cli.commands import run as run_command
from quantseg.data.recipe.toml import recipe_from_toml
from tests.docs import places
from tests.docs.pages import ROOT, Block, blocks, name, pages

OUTPUTS = "QUANTSEG_DOCS_OUTPUTS"
"""Names a folder: what the commands of console blocks print is kept there, a file a page, for the site to show."""

READ = ("text",)
"""Languages of blocks that nothing can be done with."""

SLOW = ("quantize", "report", "compare", "search")
"""Commands that take minutes at the default effort: those of sh blocks, whose output nobody sees, are run with FAST."""

FAST = ["--effort", "fast"]

_done: dict[tuple[str, ...], tuple[str, dict[str, bytes]]] = {}
"""Commands, and digests of the files they name → what they printed and wrote; none is run twice."""

TOGETHER = ("README.md", "docs/start.md", "docs/commands/quantize.md", "docs/commands/report.md")
"""Pages with the same long commands: `--dist loadgroup` gives them to one process."""

ANSWERS = {"simulate": (0, 1), "search": (0, 3)}
"""Exit codes of commands that are an answer, not a failure."""


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    places.make(folder)
    return folder


PAGES = [
    pytest.param(
        page, id=name(page), marks=pytest.mark.xdist_group("together" if name(page) in TOGETHER else name(page))
    )
    for page in pages()
    if blocks(page.read_text(encoding="utf-8"))
]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_blocks_run(page: Path, place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "page"
    shutil.copytree(place, folder)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("QUANTSEG_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("quantseg.refinement.gain.slowdown_without_gain", lambda *_: None)  # the networks are tiny
    printed: dict[str, str] = {}
    for block in blocks(page.read_text(encoding="utf-8")):
        if block.reason is None:
            printed |= _run(block, f"{name(page)}, line {block.line}", monkeypatch)
    if printed and OUTPUTS in os.environ:
        kept = ROOT / os.environ[OUTPUTS] / f"{name(page)}.json"
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_text(json.dumps(printed, ensure_ascii=False, indent=1), encoding="utf-8")


def _run(block: Block, where: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each command of a console block printed."""
    if block.language in ("sh", "console"):
        shown = block.language == "console"
        printed = {command: _command(command, where, monkeypatch, shown=shown) for command in block.commands}
        return printed if shown else {}
    if block.language == "python":
        _python(block.code, where)
    elif block.language == "toml":
        recipe_from_toml(block.code, source=where)
    else:
        assert block.language in READ, f"{where}: nothing runs {block.language!r}; say <!-- not run: why --> above it"
    return {}


def _command(command: str, where: str, monkeypatch: pytest.MonkeyPatch, *, shown: bool) -> str:
    words = shlex.split(command, comments=True)
    assert words[0] == "quantseg", f"{where}: {command}: not run here; say <!-- not run: why --> above it"
    made = sum(word.endswith(".onnx") for word in words) > 1  # report FLOAT INT8
    quick = [] if shown or made or words[1] not in SLOW or "--effort" in words else FAST
    asked = [*words, *quick]
    given = (hashlib.sha256(Path(word).read_bytes()).hexdigest() for word in asked if Path(word).is_file())
    key = (*asked, *given)
    if key not in _done:
        before = _files()
        monkeypatch.setattr(sys, "argv", asked)
        output = io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            code = run_command()
        assert code in ANSWERS.get(words[1], (0,)), f"{where}: {command}: exit code {code}\n{output.getvalue()}"
        wrote = {file: content for file, content in _files().items() if before.get(file) != content}
        _done[key] = output.getvalue(), wrote
    printed, wrote = _done[key]
    for file, content in wrote.items():
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).write_bytes(content)
    return printed


def _files() -> dict[str, bytes]:
    """What lies in the page's folder."""
    return {str(path): path.read_bytes() for path in Path().rglob("*") if path.is_file()}


def _python(code: str, where: str) -> None:
    wanted = re.findall(r"^(?:import|from) (\w+)", code, re.MULTILINE)
    missing = sorted({module for module in wanted if importlib.util.find_spec(module) is None})
    if missing:
        pytest.skip(f"{where}: not installed here: {', '.join(missing)}")
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other packages' own
        exec(compile(code, where, "exec"), {"__name__": "__main__"})
