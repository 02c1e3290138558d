"""The npm package is found where it is, of the right version, and installed by a command; npm is made up."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest

from quantseg.errors import MissingExtraError, OutputError
from quantseg.files import caches
from quantseg.runtimes import npm
from tests.support.command_line import Command

pytestmark = pytest.mark.skipif(os.name == "nt", reason="made-up programs are scripts of a shell")

INSTALLS = """
import json, pathlib, sys
place = pathlib.Path(sys.argv[sys.argv.index("--prefix") + 1]) / "node_modules" / "onnxruntime-web"
place.mkdir(parents=True)
(place / "package.json").write_text(json.dumps({"version": sys.argv[-1].split("@")[1], "asked": sys.argv[1:]}))
"""
FAILS = 'import sys; sys.exit("npm error code ENOTFOUND\\nnpm error network request failed, reason: no such host")'


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder of programs, which is all of PATH; an empty cache folder."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path / "cache"))
    monkeypatch.delenv(npm.NODE_MODULES_VARIABLE, raising=False)
    return folder


def program(folder: Path, name: str, text: str = "") -> None:
    (folder / name).write_text(f"#!{sys.executable}\n{text}")
    (folder / name).chmod(stat.S_IRWXU)


def package(modules: Path, version: str) -> Path:
    place = modules / "onnxruntime-web"
    place.mkdir(parents=True)
    (place / "package.json").write_text(json.dumps({"version": version}))
    return place


def test_nothing_installed_names_the_command(programs: Path) -> None:
    with pytest.raises(MissingExtraError, match="onnxruntime-web is not installed; run: quantseg web setup"):
        npm.onnxruntime_web()


def test_a_folder_that_is_named_comes_first(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(caches.folder() / f"npm-{npm.ONNXRUNTIME_WEB}/node_modules", npm.ONNXRUNTIME_WEB)
    found = package(tmp_path / "mine", npm.ONNXRUNTIME_WEB)
    assert npm.onnxruntime_web() != found
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(tmp_path / "mine"))
    assert npm.onnxruntime_web() == found


def test_another_version_is_refused(programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package(tmp_path / "mine", "1.20.0")
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(tmp_path / "mine"))
    with pytest.raises(MissingExtraError, match=rf"onnxruntime-web 1\.20\.0, {npm.ONNXRUNTIME_WEB} is needed"):
        npm.onnxruntime_web()


@pytest.mark.parametrize("content", ["", "[]", "{}", "[" * 100_000])
def test_a_package_without_a_version_is_none(programs: Path, content: str) -> None:
    place = package(caches.folder() / f"npm-{npm.ONNXRUNTIME_WEB}/node_modules", npm.ONNXRUNTIME_WEB)
    (place / "package.json").write_text(content)
    with pytest.raises(MissingExtraError, match="not installed"):
        npm.onnxruntime_web()


def test_the_command_installs_once_and_runs_no_script(programs: Path, quantseg: Command) -> None:
    program(programs, "node")
    program(programs, "npm", INSTALLS)
    outcome = quantseg("web", "setup")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.out.startswith(f"onnxruntime-web {npm.ONNXRUNTIME_WEB} in {npm.onnxruntime_web()}; run by ")
    asked = json.loads((npm.onnxruntime_web() / "package.json").read_text())["asked"]
    assert asked[0] == "install"
    assert "--ignore-scripts" in asked
    assert [path.name for path in caches.folder().iterdir()] == [f"npm-{npm.ONNXRUNTIME_WEB}"]
    program(programs, "npm", FAILS)
    assert quantseg("web", "setup").code == 0


@pytest.mark.parametrize(
    ("there", "words", "message"),
    [
        ({}, ["setup"], "error: node is not installed; install Node.js 18 or newer from https://nodejs.org"),
        ({"node": ""}, ["setup"], "error: npm is not installed; install Node.js"),
        (
            {"node": "", "npm": FAILS},
            ["setup"],
            "error: npm cannot install onnxruntime-web@1.30.0 (network request fai",
        ),
        ({}, ["remove"], "error: 'remove' is nothing to do; say quantseg web setup"),
        ({}, [], "error: Missing argument"),
    ],
)
def test_what_is_missing_is_one_line(
    programs: Path, quantseg: Command, there: dict[str, str], words: list[str], message: str
) -> None:
    for name, text in there.items():
        program(programs, name, text)
    outcome = quantseg("web", *words)
    assert (outcome.code, outcome.out) == (2, "")
    (line,) = outcome.err.splitlines()
    assert line.startswith(message)
    assert not caches.folder().exists() or list(caches.folder().iterdir()) == []


def test_a_cache_folder_that_cannot_be_written_is_named(
    programs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(programs, "npm", INSTALLS)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(caches.FOLDER_VARIABLE, str(tmp_path / "file"))
    with pytest.raises(OutputError, match="choose a folder with QUANTSEG_CACHE"):
        npm.install()


def test_npm_that_hangs_is_ended(programs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(programs, "npm", "import time; time.sleep(60)")
    monkeypatch.setattr(npm, "_SECONDS", 0.1)
    with pytest.raises(OutputError, match="npm took more than"):
        npm.install()
