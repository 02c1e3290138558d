"""The programs beside the app: those of Python, Node and C++ give the page's mask; the others say they were not run.

C++ runs where $QUANTSEG_ONNXRUNTIME names a folder with include/ and lib/, an unpacked release of onnxruntime.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from quantseg.runtimes import npm
from quantseg.shipping import AppFacts
from quantseg.shipping.native import PROGRAMS, programs
from tests.support import apps

RELEASE = "QUANTSEG_ONNXRUNTIME"
RUN = {"javascript/mask.mjs", "python/mask.py", "cpp/mask.cpp", "README.md"}
GREY = AppFacts("net", (24, 32), "GRAY", "nearest", "pixels", "mask", "NHW", False, ("a", "b"))


def test_programs_that_were_not_run_say_so() -> None:
    texts = programs(GREY)
    assert {*texts} == {*PROGRAMS}
    for path in PROGRAMS:
        assert texts[path].startswith("// Not run: there was no ") == (path not in RUN), path
    table = texts["README.md"]
    assert re.findall(r"^\| `(\w+)/` \| [^|]+ \| [^|]+ \| yes", table, re.MULTILINE) == ["python", "javascript", "cpp"]


def test_sizes_are_put_in() -> None:
    for path, text in programs(GREY).items():
        assert not re.search(r"@[A-Z]+@", text), path
    assert "kHeight = 24, kWidth = 32, kChannels = 1" in programs(GREY)["cpp/mask.cpp"]


def test_without_words_the_usage_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mask.py").write_text(programs(GREY)["python/mask.py"])
    outcome = subprocess.run([sys.executable, "mask.py"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (outcome.returncode, outcome.stderr) == (2, "usage: python mask.py IMAGE MASK.png\n")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["same", "wide", "tall"])
def test_python(name: str, cells_app: Path, pictures: Path, tmp_path: Path) -> None:
    picture, target = pictures / f"{name}.png", tmp_path / "mask.png"
    words = [sys.executable, cells_app / "native/python/mask.py", picture, target]
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert np.array_equal(np.asarray(Image.open(target)), apps.mask_in_python(cells_app, picture))
    assert "red cell" in told


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
@pytest.mark.parametrize("name", ["same", "wide", "tall"])
def test_javascript(name: str, cells_app: Path, pictures: Path, tmp_path: Path) -> None:
    shutil.copytree(cells_app, tmp_path / "app")
    (tmp_path / "app/node_modules").symlink_to(npm.onnxruntime_web().parent, target_is_directory=True)
    Image.open(pictures / f"{name}.png").save(tmp_path / "image.ppm")
    words = ["node", "app/native/javascript/mask.mjs", "image.ppm", "mask.pgm"]
    subprocess.run(words, cwd=tmp_path, check=True)
    mask = np.asarray(Image.open(tmp_path / "mask.pgm"))
    assert np.array_equal(mask, apps.mask_in_python(cells_app, pictures / f"{name}.png"))
    refused = subprocess.run(words[:2], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stderr) == (2, "usage: node mask.mjs IMAGE.ppm MASK.pgm\n")


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="g++ is not installed")
@pytest.mark.skipif(RELEASE not in os.environ, reason=f"{RELEASE} names no release of onnxruntime")
def test_cpp(cells_app: Path, pictures: Path, tmp_path: Path) -> None:
    release = Path(os.environ[RELEASE])
    source = cells_app / "native/cpp/mask.cpp"
    flags = ["-std=c++17", "-Wall", "-Werror", f"-I{release}/include", f"-L{release}/lib", "-lonnxruntime"]
    subprocess.run(["g++", source, *flags, "-o", "mask"], cwd=tmp_path, check=True)
    Image.open(pictures / "same.png").save(tmp_path / "image.ppm")
    environment = {**os.environ, "LD_LIBRARY_PATH": f"{release}/lib"}
    words = ["./mask", cells_app / "model/model.int8.onnx", "image.ppm", "mask.pgm"]
    subprocess.run(words, cwd=tmp_path, env=environment, check=True)
    mask = np.asarray(Image.open(tmp_path / "mask.pgm"))
    assert np.array_equal(mask, apps.mask_in_python(cells_app, pictures / "same.png"))
    Image.open(pictures / "wide.png").save(tmp_path / "image.ppm")
    refused = subprocess.run(words, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (2, "image.ppm: resize it to the model's size first\n")
