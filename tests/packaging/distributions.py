"""The distributions that are built from this repository, and what their files may hold."""

import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quantseg.evaluation.reference_models import DEMO
from tests.support.places import ROOT, WEIGHTS


@dataclass(frozen=True)
class Distribution:
    """project: the folder of its pyproject.toml. package: what is imported. most_bytes: of a wheel, and of an sdist.

    files: what the package holds, as path in the wheel → file of the checkout. beside: what else its sdist may hold.
    """

    name: str
    project: Path
    package: str
    most_bytes: int
    files: Mapping[str, Path]
    beside: frozenset[str]


def _tool() -> dict[str, Path]:
    sources = (p for p in (ROOT / "quantseg").rglob("*") if p.is_file() and p.suffix != ".pyc")
    return {path.relative_to(ROOT).as_posix(): path for path in sources} | {
        f"quantseg/evaluation/{DEMO}.onnx": WEIGHTS / f"{DEMO}.onnx"
    }


def _zoo() -> dict[str, Path]:
    files = [WEIGHTS.parent / "__init__.py", *(p for p in WEIGHTS.iterdir() if p.suffix != ".png")]
    return {f"quantseg_zoo/{path.relative_to(WEIGHTS.parent).as_posix()}": path for path in files}


ALWAYS = frozenset({"pyproject.toml", "PKG-INFO", "LICENSE", ".gitignore"})
DISTRIBUTIONS = (
    Distribution("quantseg", ROOT, "quantseg", 5_000_000, _tool(), ALWAYS | {"README.md", "CHANGELOG.md"}),
    Distribution("quantseg-zoo", WEIGHTS.parent, "quantseg_zoo", 45_000_000, _zoo(), ALWAYS),
)


def hatch(distribution: Distribution, kind: str, folder: Path, *, project: Path | None = None) -> Path:
    """Builds a wheel or an sdist (`kind`) with the packages that are installed here, from the checkout as it stands.

    project: a folder to build from in its place.
    """
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=project or distribution.project, check=True, capture_output=True)
    (made,) = folder.glob(f"{distribution.package}-*{'.whl' if kind == 'wheel' else '.tar.gz'}")
    return made


def contents(file: Path) -> dict[str, bytes]:
    """Path → content of all files of a wheel or an sdist; the first folder of an sdist is left out."""
    if file.suffix == ".whl":
        with zipfile.ZipFile(file) as wheel:
            return {name: wheel.read(name) for name in wheel.namelist()}
    with tarfile.open(file) as sdist:
        read = ((member.name, sdist.extractfile(member)) for member in sdist)
        return {name.partition("/")[2]: content.read() for name, content in read if content is not None}


def faults(file: Path, distribution: Distribution) -> list[str]:
    """What is wrong with a built file: its size, what it lacks, and what it should not hold."""
    held, wheel = contents(file), file.suffix == ".whl"
    expected = dict(distribution.files)
    if not wheel:
        expected = {path.relative_to(distribution.project).as_posix(): path for path in expected.values()}
    wrong = []
    if file.stat().st_size > distribution.most_bytes:
        wrong.append(f"{file.stat().st_size:,} bytes, more than {distribution.most_bytes:,}")
    for name, source in expected.items():
        if name not in held:
            wrong.append(f"lacks {name}")
        elif held[name] != source.read_bytes():
            wrong.append(f"{name} is not {source.relative_to(ROOT)}")
    for name in held.keys() - expected.keys():
        about = ".dist-info/" in name if wheel else name in distribution.beside
        wrong += [] if about else [f"holds {name}"]
    return sorted(wrong)
