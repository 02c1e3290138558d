"""A commit's packages in a folder of their own, and Python that runs on them."""

import io
import os
import shutil
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("quantseg", "reference_models")


@dataclass(frozen=True)
class Side:
    """One of the two: its commit, whether it has changes on top, a copy of its files, and its cache if it has one."""

    commit: str
    changed: bool
    tree: Path
    cache: Path | None = None

    def __str__(self) -> str:
        return self.commit + " + changes" * self.changed

    def weights(self) -> dict[str, Path]:
        """Reference model → its file."""
        return {path.stem: path for path in sorted(self.tree.glob("reference_models/weights/*.onnx"))}

    def python(self, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Runs Python on this side's packages, on one thread."""
        one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {**os.environ, **one, "PYTHONPATH": str(self.tree)}
        command = [sys.executable, *words]
        return subprocess.run(command, cwd=cwd, env=environment, text=True, capture_output=True, check=False)


def checkout(word: str, tree: Path) -> Side:
    """Copies the packages of a commit, or of a folder as it stands, into `tree`."""
    folder = Path(word)
    if (folder / PACKAGES[0]).is_dir():
        for package in PACKAGES:
            shutil.copytree(folder / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
        changed = _git(folder, "status", "--porcelain", "--", *PACKAGES)
        return Side(_git(folder, "rev-parse", "HEAD").decode().strip(), bool(changed), tree)
    commit = _git(ROOT, "rev-parse", "--verify", f"{word}^{{commit}}").decode().strip()
    with tarfile.open(fileobj=io.BytesIO(_git(ROOT, "archive", commit, *PACKAGES))) as archive:
        archive.extractall(tree, filter="data")
    return Side(commit, False, tree)


def check(side: Side) -> None:
    """Stops where another quantseg than this side's would run, which would make all equal."""
    done = side.python("-c", "import quantseg; print(quantseg.__file__)", cwd=side.tree.parent)
    if not Path(done.stdout.strip() or "/").is_relative_to(side.tree):
        sys.exit(f"{side}: Python imports {done.stdout.strip() or done.stderr} instead of its quantseg")


def _git(folder: Path, *words: str) -> bytes:
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    if done.returncode:
        sys.exit(f"git {words[0]} in {folder}: {done.stderr.decode().strip()}")
    return done.stdout
