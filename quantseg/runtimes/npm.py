"""The npm package onnxruntime-web, and node, which runs it: found where they are, and the package installed if asked.

The package is of one version, so that what is measured, tested and shipped is the same WebAssembly everywhere.
"""

import json
import os
import shutil
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

from quantseg.errors import MissingExtraError, OutputError
from quantseg.files import caches, uninterrupted
from quantseg.runtimes import programs

ONNXRUNTIME_WEB = "1.30.0"
"""The version of the npm package."""
NODE_MODULES_VARIABLE = "QUANTSEG_NODE_MODULES"
"""The environment variable that names a node_modules folder to look in first."""

_PACKAGE = "onnxruntime-web"
_GET_NODE = "install Node.js 18 or newer from https://nodejs.org"
_SECONDS = 600.0
"""Most seconds that npm may take."""
_QUIETLY = ("--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error")


def onnxruntime_web() -> Path:
    """The folder of the npm package onnxruntime-web, with dist/ inside.

    Looked for in $QUANTSEG_NODE_MODULES, then where `install` puts it. Raises MissingExtraError where it is in neither,
    or of another version.
    """
    given = os.environ.get(NODE_MODULES_VARIABLE)
    for modules in (*([Path(given)] if given else []), _prefix() / "node_modules"):
        package = modules / _PACKAGE
        version = _version(package)
        if version == ONNXRUNTIME_WEB:
            return package.resolve()
        if version is not None:
            raise MissingExtraError(
                f"{package}: onnxruntime-web {version}, {ONNXRUNTIME_WEB} is needed; "
                f"install that there, or unset {NODE_MODULES_VARIABLE} and run: quantseg web setup"
            )
    raise MissingExtraError("onnxruntime-web is not installed; run: quantseg web setup")


def install() -> Path:
    """Installs the npm package onnxruntime-web in the cache folder, from npm's registry; gives its folder.

    No script of a package is run. Nothing is done where it is installed already. Raises MissingExtraError without npm,
    OutputError where npm fails: the folder cannot be written, the registry cannot be reached.
    """
    with suppress(MissingExtraError):
        return onnxruntime_web()
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtraError(f"npm is not installed; {_GET_NODE}, which brings it")
    place = _prefix()
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{place.name}-", dir=place.parent) as name:
            _run([npm, "install", *_QUIETLY, "--prefix", name, f"{_PACKAGE}@{ONNXRUNTIME_WEB}"])
            with uninterrupted:
                shutil.rmtree(place, ignore_errors=True)
                Path(name).rename(place)
    except OSError as error:
        raise OutputError(f"{place}: {error.strerror or error}; choose a folder with QUANTSEG_CACHE") from error
    return onnxruntime_web()


def node() -> str:
    """The path of the node program. Raises MissingExtraError where there is none."""
    found = shutil.which("node")
    if found is None:
        raise MissingExtraError(f"node is not installed; {_GET_NODE}, then run: quantseg web setup")
    return found


def _prefix() -> Path:
    return caches.folder() / f"npm-{ONNXRUNTIME_WEB}"


def _version(package: Path) -> str | None:
    """The version of an npm package, from its package.json; None where there is no package."""
    try:
        return str(json.loads((package / "package.json").read_text(encoding="utf-8"))["version"])
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None


def _run(command: list[str]) -> None:
    """Raises OutputError with npm's own reason where it fails or takes too long."""
    program = programs.start(command, stderr=subprocess.PIPE)
    try:
        _, told = program.communicate(timeout=_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise OutputError(f"npm took more than {_SECONDS:g} s; look at the network, and try again") from error
    finally:
        code = programs.end(program)
    if code:
        reason = _reason(told.decode(errors="replace"))
        raise OutputError(f"npm cannot install {command[-1]} ({reason}); look at the network and at npm's settings")


def _reason(told: str) -> str:
    """What npm says first of its failure, without its prefixes and its log's path."""
    lines = [line.removeprefix("npm error ").removeprefix("npm ERR! ").strip() for line in told.splitlines()]
    said = [line for line in lines if line and not line.startswith(("code ", "errno ", "A complete log", "syscall "))]
    return said[0][:200] if said else "it does not say why"
