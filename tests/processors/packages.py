"""What the bench is made of: pieces fetched once from Debian, PyPI and npm into a folder of this user.

Nothing is installed and no setting of the machine changes: apt gets a sources list, lists, state and cache of its own,
and checks what it downloads; so do pip and npm. A piece is made beside its place and moved there when it is whole.
"""

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import platformdirs

WEB = "1.30.0"
"""onnxruntime-web's version."""
ONNXRUNTIME = importlib.metadata.version("onnxruntime")
_SUITE, _PYTHON = "trixie", "3.13"
_ARM = (
    f"python{_PYTHON}-minimal", f"libpython{_PYTHON}-minimal", f"libpython{_PYTHON}-stdlib", "libc6", "libgcc-s1",
    "libstdc++6", "zlib1g", "libexpat1", "libffi8", "libbz2-1.0", "liblzma5",
)  # fmt: skip
_PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATIENCE = 300
"""Seconds that one command of a package manager may take."""


_FAILED: dict[Path, str] = {}
"""What this process could not fetch, and why: it is not asked for again for the next processor."""


class UnavailableError(Exception):
    """A processor or a piece of the bench that cannot be had, with the reason in one line."""


def folder() -> Path:
    """Where the pieces lie: $QUANTSEG_PROCESSORS, or a cache folder of this user."""
    given = os.environ.get("QUANTSEG_PROCESSORS")
    return Path(given) if given else platformdirs.user_cache_path("quantseg-processors")


def place(piece: str) -> Path:
    """Where a piece lies once it is fetched. A piece of another version has another place."""
    versions = {"wheels": f"-{ONNXRUNTIME}", "web": f"-{WEB}", "python": f"-{_PYTHON}"}
    return folder() / f"{piece}{versions.get(piece, '')}"


def fetch(piece: str) -> Path:
    """Fetches a piece of PIECES that is not there yet. Raises UnavailableError; once it failed, at once."""
    target = place(piece)
    if target in _FAILED:
        raise UnavailableError(_FAILED[target])
    try:
        return made(target, PIECES[piece])
    except UnavailableError as error:
        _FAILED[target] = str(error)
        raise


def made(target: Path, make: Callable[[Path], None]) -> Path:
    """The folder as it is, or as `make` fills it: all of it or nothing, whoever else makes it at the same time."""
    if target.is_dir():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as work:
            whole = Path(work) / "whole"
            whole.mkdir()
            make(whole)
            try:
                whole.rename(target)
            except OSError:
                if not target.is_dir():
                    raise
    except OSError as error:
        raise UnavailableError(f"{target.name}: {error.strerror or error}") from error
    return target


def command(words: Sequence[str | Path], *, cwd: Path | None = None) -> str:
    """What a command prints. Raises UnavailableError with its last complaint where it is missing, fails or hangs."""
    name = Path(words[0]).name
    if shutil.which(str(words[0])) is None:
        raise UnavailableError(f"{name} is not installed")
    try:
        done = subprocess.run(
            list(map(str, words)), cwd=cwd, capture_output=True, text=True, timeout=_PATIENCE, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise UnavailableError(f"{name} gave no answer in {_PATIENCE} s") from error
    if done.returncode:
        lines = [line.strip() for line in (done.stderr or done.stdout).splitlines() if line.strip()]
        told = [line for line in lines if line.lower().startswith(("e:", "error", "npm error"))] or lines
        raise UnavailableError(f"{name}: {told[0] if told else f'ended with {done.returncode}'}"[:200])
    return done.stdout


def _mirror() -> str:
    """The address of Debian's packages, as this machine's apt knows it."""
    targets = command(["apt-get", "indextargets", "--no-release-info", "--format", "$(REPO_URI)"])
    for address in targets.split():
        if address.rstrip("/").endswith("/debian"):
            return address
    raise UnavailableError("apt knows no mirror of Debian here")


def _debian(packages: Sequence[str], work: Path) -> list[Path]:
    """Debian packages in files, by apt with everything of its own."""
    if not _KEYRING.is_file():
        raise UnavailableError("debian-archive-keyring is not installed")
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (work / name).mkdir(parents=True)
    (work / "status").touch()
    (work / "debian.sources").write_text(
        f"Types: deb\nURIs: {_mirror()}\nSuites: {_SUITE}\nComponents: main\nArchitectures: amd64 arm64\n"
        f"Signed-By: {_KEYRING}\n"
    )
    settings: Mapping[str, object] = {
        "Dir::Etc::sourcelist": work / "debian.sources",
        "Dir::Etc::sourceparts": "/dev/null",
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
        "Acquire::Retries": "1",
        "Acquire::http::Timeout": "20",
        "APT::Update::Error-Mode": "any",
    }
    apt = ["apt-get", "-qq", "-o", "APT::Architectures::=amd64", "-o", "APT::Architectures::=arm64"]
    apt += [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
    command([*apt, "update"])
    command([*apt, "download", *packages], cwd=work / "debs")
    return sorted((work / "debs").glob("*.deb"))


def _qemu(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        (package,) = _debian(["qemu-user"], Path(work))
        archive = Path(work) / "data.tar"
        command(["sh", "-c", 'dpkg-deb --fsys-tarfile "$0" > "$1"', package, archive])
        names = {f"./usr/bin/qemu-{family}": f"qemu-{family}" for family in ("x86_64", "aarch64")}
        _unpack(archive, names, target)
        for name in names.values():
            (target / name).chmod(0o755)


def _python(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        for package in _debian([f"{name}:arm64" for name in _ARM], Path(work)):
            command(["dpkg", "-x", package, target])
    (target / "lib").symlink_to("usr/lib")


def _wheels(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        platforms = [word for name in _PLATFORMS for word in ("--platform", name)]
        command([
            sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--retries", "1",
            "--no-deps", "--only-binary", ":all:", *platforms, "--python-version", _PYTHON, "--implementation", "cp",
            "--dest", work, f"onnxruntime=={ONNXRUNTIME}", "numpy",
        ])  # fmt: skip
        for wheel in Path(work).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(target)


def _web(target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        command(["npm", "pack", "--silent", "--fetch-retries", "1", f"onnxruntime-web@{WEB}"], cwd=Path(work))
        (archive,) = Path(work).glob("*.tgz")
        files = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
        _unpack(archive, {f"package/dist/{name}": name for name in files}, target)


def _unpack(archive: Path, names: Mapping[str, str], target: Path) -> None:
    """Some files of a tar archive, each under a name of its own."""
    with tarfile.open(archive) as opened:
        for inside, name in names.items():
            try:
                content = opened.extractfile(inside)
            except KeyError as error:
                raise UnavailableError(f"{archive.name} holds no {inside}") from error
            assert content is not None
            with content, (target / name).open("wb") as file:
                shutil.copyfileobj(content, file)


PIECES: Mapping[str, Callable[[Path], None]] = {"qemu": _qemu, "python": _python, "wheels": _wheels, "web": _web}
