"""The examples of docs/examples do what they say, as far as that can be tried without GitHub, Docker and PyPI."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantseg.data.drawn_cells import write_cells
from quantseg.evaluation.reference_models import demo_model
from tests.packaging.distributions import DISTRIBUTIONS, faults, hatch
from tests.support.places import ROOT

yaml = pytest.importorskip("yaml", reason="the examples are YAML; pip install pyyaml")

EXAMPLES = ROOT / "docs/examples"
NOT_TRIED = "pip install quantseg"


def read(name: str) -> Any:
    return yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8"))


def steps(job: Any) -> list[Any]:
    """The steps of a job or action that run a command."""
    return [step for step in job["steps"] if "run" in step]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a float model and drawn images, and quantseg on its path."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("models", "bin"):
        (folder / name).mkdir()
    shutil.copy(demo_model(), folder / "models/seg.onnx")
    for number, part in enumerate(("calib", "val")):
        write_cells(folder / part, 4, seed=1000 * number)
    command = folder / "bin/quantseg"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m quantseg "$@"\n')
    command.chmod(0o755)
    return folder


def bash(script: str, folder: Path, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Runs a step as GitHub does. Nothing of quantseg is on the path but what the folder has in bin/."""
    places = {"PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **places, **variables}, text=True, capture_output=True
    )


def act(folder: Path, *, at_least: str = "95") -> list[int]:
    """Runs the action's own commands, and returns their exit codes; after one that fails no other is run."""
    action = read("quantise/action.yml")
    defaults = {name: about["default"] for name, about in action["inputs"].items() if "default" in about}
    given = {"model": "models/seg.onnx", "calib": "calib", "data": "val", "output": "models/seg.int8.onnx"}
    inputs = {**defaults, **given, "effort": "fast", "at-least": at_least}
    codes: list[int] = []
    for step in steps(action["runs"]):
        if step["run"] != NOT_TRIED and not any(codes):
            words = {key: inputs[text[len("${{ inputs.") : -len(" }}")]] for key, text in step["env"].items()}
            codes.append(bash(step["run"], folder, **words).returncode)
    return codes


@pytest.mark.slow
def test_the_action_quantises_and_judges_and_the_hook_then_passes(project: Path) -> None:
    assert act(project) == [0, 0]
    assert (project / "agreement.json").is_file()
    (hook,) = read("pre-commit-config.yaml")["repos"][0]["hooks"]
    assert bash(shlex.join(shlex.split(hook["entry"])), project).returncode == 0


@pytest.mark.slow
def test_the_action_fails_where_the_masks_do_not_agree(project: Path) -> None:
    assert act(project, at_least="100") == [0, 3]


@pytest.mark.parametrize(("tag", "code"), [("v{}", 0), ("{}", 0), ("v{}.1", 1), ("v", 1)])
def test_a_release_is_published_under_the_version_that_is_built(tag: str, code: int) -> None:
    from quantseg import __version__

    (check,) = [step for step in steps(read("publish.yml")["jobs"]["build"]) if "TAG" in step.get("env", {})]
    assert bash(check["run"], ROOT, TAG=tag.format(__version__)).returncode == code


def test_a_release_is_checked_as_ci_checks_it() -> None:
    """What the workflow says in single commands stands in .ci/run too, which has a folder of its own for it."""
    said = (
        (ROOT / ".ci/run").read_text(encoding="utf-8").replace('"$work/dist"', "dist").replace('"$work"/dist', "dist")
    )
    single = [step["run"] for step in steps(read("publish.yml")["jobs"]["build"]) if "\n" not in step["run"]]
    shared = [line for line in single if line.startswith(("python -m", "twine"))]
    assert len(shared) == 4
    assert set(shared) <= {line.strip() for line in said.splitlines()}


def test_the_image_is_built_from_what_the_dockerfile_copies(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="packages are built with hatchling; pip install hatchling")
    lines = (EXAMPLES / "Dockerfile").read_text(encoding="utf-8").splitlines()
    for _, *sources, place in (line.split() for line in lines if line.startswith("COPY") and "--from" not in line):
        for source in sources:
            target = tmp_path / place.strip("/") / ("" if place.endswith("/") else ".")
            target.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, target, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, target)
    tool = DISTRIBUTIONS[0]
    wheel = hatch(tool, "wheel", tmp_path / "wheel", project=tmp_path / "src")
    assert faults(wheel, tool) == []
