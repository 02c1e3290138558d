"""Settings for all tests: hypothesis without deadlines (the machine may be busy), and the same examples in CI.

Also what the tests of the command line share: the command itself, and a small model and data to give it.
"""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import settings
from PIL import Image

from quantseg import api
from quantseg.cli.commands import run as run_command
from quantseg.refinement.options import Options
from tests.support import models
from tests.support.command_line import Command, Outcome

SIZE = 32
CLASSES = 3


os.environ["QUANTSEG_PROGRESS"] = "off"  # on a busy machine every command takes long enough to tell how far it is

settings.register_profile("default", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("default")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model's memory, which takes a process to measure, is made up, and roofs are those of one small product.

    tests/runtimes/ looks after both, and commands in processes of their own and on the pages measure them.
    """
    monkeypatch.setattr("quantseg.runtimes.latency.peak_memory", lambda *_, **__: 1_000_000)
    monkeypatch.setattr("quantseg.runtimes.roofline.roofs.SIZES", ((64, 64, 64),))
    monkeypatch.setattr("quantseg.runtimes.roofline.roofs._SECONDS", 0.0)


@pytest.fixture
def quantseg(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], quick: None) -> Iterator[Command]:
    """`quantseg WORDS`, in this process. Small networks are not refused: tests/cli/test_no_gain.py looks after that."""
    monkeypatch.setattr("quantseg.refinement.gain.slowdown_without_gain", lambda *_: None)
    logger = logging.getLogger("quantseg")
    before = logger.level, logger.propagate

    def run(*words: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["quantseg", *map(str, words)])
        capsys.readouterr()
        code = run_command()
        return Outcome(code, *capsys.readouterr())

    yield run
    logger.handlers.clear()
    logger.level, logger.propagate = before


@pytest.fixture(scope="session")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A U-Net of random weights for images of 32 x 32 pixels and three classes."""
    path = tmp_path_factory.mktemp("model") / "net.onnx"
    onnx.save(models.unet(base=4, depth=2, classes=CLASSES, size=SIZE), path)
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three images of noise in images/, their labels in masks/."""
    folder = tmp_path_factory.mktemp("data")
    for part in ("images", "masks"):
        (folder / part).mkdir()
    for number in range(3):
        random = np.random.default_rng(number)
        Image.fromarray(random.integers(0, 256, (SIZE, SIZE, 3), np.uint8)).save(folder / f"images/{number}.png")
        Image.fromarray(random.integers(0, CLASSES, (SIZE, SIZE), np.uint8)).save(folder / f"masks/{number}.png")
    return folder


@pytest.fixture(scope="session")
def int8_model(float_model: Path, images: Path) -> Path:
    """The same network in int8."""
    path = float_model.with_name("net.int8.onnx")
    options = Options(calibrator="minmax", effort="fast", threads=1)
    given = api.calibrate(api.load(float_model), images, options=options)
    return api.quantize(given.model, given, options=options).save(path)
