"""Runs models on a processor of the bench: many models and many images in one process, since its start takes long."""

import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tests.processors import concealed, packages
from tests.processors.packages import UnavailableError
from tests.processors.table import PROCESSORS, Processor, Way

Array = NDArray[Any]
Feeds = Sequence[Mapping[str, Array]]
_HERE = Path(__file__).parent
_PIECES = {Way.X86: ("qemu",), Way.ARM: ("qemu", "python", "wheels"), Way.WASM: ("web",)}
_UNWANTED = ("LD_PRELOAD", "OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE", "PYTHONPATH", "PYTHONHOME")
"""Settings of this machine that mean nothing, or harm, on another."""


@dataclass(frozen=True)
class Task:
    """A model and what it is fed. outputs: names, or None for all that the model has.

    level: onnxruntime's graph optimisations, disable_all, enable_basic, enable_extended or enable_all. config: entries
    of its session, as {"session.x64quantprecision": "1"}.
    """

    model: Path | bytes
    feeds: Feeds
    outputs: Sequence[str] | None = None
    level: str = "enable_all"
    config: Mapping[str, str] = field(default_factory=dict)


def available(name: str) -> str | None:
    """Why a processor is not to be had as things are, nothing fetched; None where it is. Unknown: a ValueError."""
    processor = _known(name)
    if platform.system() != "Linux" or platform.machine() != "x86_64":
        return f"{name}: the bench needs Linux on x86-64"
    missing = [piece for piece in _PIECES.get(processor.way, ()) if not packages.place(piece).is_dir()]
    if missing:
        return f"{name}: {', '.join(missing)} not fetched; run python -m tests.processors --fetch"
    try:
        _command(processor)
    except UnavailableError as error:
        return f"{name}: {error}"
    return None


def ready(name: str) -> str | None:
    """As `available`, once what it needs has been fetched."""
    try:
        for piece in _PIECES.get(_known(name).way, ()):
            packages.fetch(piece)
    except UnavailableError as error:
        return f"{name}: {error}"
    return available(name)


def run(
    name: str,
    model: Path | bytes,
    feeds: Feeds,
    outputs: Sequence[str] | None = None,
    *,
    level: str = "enable_all",
    config: Mapping[str, str] | None = None,
) -> list[dict[str, Array]]:
    """Outputs by name for each image, on one thread; see `Task`.

    Raises UnavailableError, and RuntimeError where the model fails.
    """
    (found,) = run_all(name, [Task(model, feeds, outputs, level, config or {})])
    return found


def run_all(
    name: str, tasks: Sequence[Task], *, threads: int = 1, patience: float = 1800
) -> list[list[dict[str, Array]]]:
    """For each task what `run` gives, in one process of the guest. patience: seconds that it may take."""
    reason = available(name)
    if reason is not None:
        raise UnavailableError(reason)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        told = [_written(folder, number, task) for number, task in enumerate(tasks)]
        (folder / "job.json").write_text(json.dumps({"threads": threads, "tasks": told}))
        words, environment = _command(_known(name))
        words = [str(folder) if word == _FOLDER else word for word in words]
        kept = {key: value for key, value in os.environ.items() if key not in _UNWANTED}
        try:
            done = subprocess.run(
                words, env={**kept, **environment}, capture_output=True, text=True, timeout=patience, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{name}: not done in {patience:.0f} s") from error
        if not (folder / "made.json").exists():
            lines = (done.stderr or done.stdout).strip().splitlines()
            raise RuntimeError(f"{name}: ended with {done.returncode}: {lines[-1] if lines else 'no word'}")
        made = json.loads((folder / "made.json").read_text())
        for task in made:
            if "failed" in task:
                raise RuntimeError(f"{name}: {task['failed']}")
        return [[_read(folder, image) for image in task["images"]] for task in made]


def sites() -> str:
    """Where this interpreter finds onnxruntime and numpy, as a PYTHONPATH."""
    return os.pathsep.join(dict.fromkeys(str(Path(str(m.__file__)).parents[1]) for m in (onnxruntime, np)))


_FOLDER = "FOLDER"


def _known(name: str) -> Processor:
    if name not in PROCESSORS:
        raise ValueError(f"{name!r} is no processor of the bench; choose {', '.join(PROCESSORS)}")
    return PROCESSORS[name]


def _command(processor: Processor) -> tuple[list[str], dict[str, str]]:
    """The words that run the guest's script on FOLDER, and its environment."""
    script, paths = str(_HERE / "guest.py"), sites()
    python = [str(Path(sys.executable).resolve()), "-S", script, _FOLDER]
    if processor.way is Way.HERE:
        return python, {"PYTHONPATH": paths}
    if processor.way is Way.CONCEALED:
        site = concealed.site(processor)
        return python, {"PYTHONPATH": os.pathsep.join((str(site), paths))}
    if processor.way is Way.X86:
        qemu = str(packages.place("qemu") / "qemu-x86_64")
        return [qemu, "-cpu", processor.model, *python], {"PYTHONPATH": paths}
    if processor.way is Way.ARM:
        root = packages.place("python")
        (interpreter,) = (root / "usr" / "bin").glob("python3.*")
        qemu = str(packages.place("qemu") / "qemu-aarch64")
        environment = {"PYTHONHOME": str(root / "usr"), "PYTHONPATH": str(packages.place("wheels"))}
        return [qemu, "-cpu", processor.model, "-L", str(root), str(interpreter), "-S", script, _FOLDER], environment
    node = packages.command(["node", "--version"]) and "node"
    return [node, str(_HERE / "guest.mjs"), _FOLDER, str(packages.place("web"))], {}


def _written(folder: Path, number: int, task: Task) -> dict[str, Any]:
    model = task.model
    if isinstance(model, bytes):
        content, model = model, folder / f"{number}.onnx"
        model.write_bytes(content)
    feeds = []
    for index, image in enumerate(task.feeds):
        told = {}
        for place, (name, array) in enumerate(image.items()):
            file = f"fed.{number}.{index}.{place}.bin"
            np.ascontiguousarray(array).tofile(folder / file)
            told[name] = {"file": file, "dtype": array.dtype.name, "shape": list(array.shape)}
        feeds.append(told)
    outputs = None if task.outputs is None else list(task.outputs)
    return {
        "model": str(model.resolve()), "feeds": feeds, "outputs": outputs, "level": task.level,
        "config": dict(task.config),
    }  # fmt: skip


def _read(folder: Path, image: Mapping[str, Mapping[str, Any]]) -> dict[str, Array]:
    return {
        name: np.fromfile(folder / told["file"], told["dtype"]).reshape(told["shape"]) for name, told in image.items()
    }
