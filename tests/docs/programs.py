"""Runs the programs of docs/use/ that Python cannot: each has to give the mask that onnxruntime gives in Python.

    python -m tests.docs.programs --cpp DIR --node DIR

--cpp: a folder with include/ and lib/, an unpacked release of onnxruntime. --node: one with node_modules/, in which
onnxruntime-node, onnxruntime-web and pngjs are installed. The web page is opened in Chromium, if there is one.
"""

import argparse
import functools
import http.server
import os
import re
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from PIL import Image

import quantseg as qs
from tests.docs import places
from tests.docs.pages import ROOT, blocks

WEB = ("ort.wasm.min.js", "*.wasm", "*.mjs")
MINUTES = 3


def program(page: str, language: str) -> str:
    """The first block of that language on a page of docs/use/."""
    found = blocks((ROOT / f"docs/use/{page}.md").read_text(encoding="utf-8"))
    return next(block.code for block in found if block.language == language)


def folded(folder: Path) -> NDArray[np.uint8]:
    """Makes folded.onnx, image.png and image.ppm, and gives the mask (height, width)."""
    places.make(folder)
    result = qs.quantize(folder / "model.onnx", folder / "calib", effort="fast", fold=("preprocess", "argmax"))
    result.save(folder / "folded.onnx")
    image = Image.open(folder / "val/images/0000.png").convert("RGB")
    for name in ("image.png", "image.ppm"):
        image.save(folder / name)
    session = onnxruntime.InferenceSession(folder / "folded.onnx", providers=["CPUExecutionProvider"])
    mask: NDArray[np.uint8] = session.run(None, {session.get_inputs()[0].name: np.asarray(image)[None]})[0][0]
    return mask


def cpp(folder: Path, onnxruntime_folder: Path) -> NDArray[np.uint8]:
    """The mask that the C++ program writes."""
    (folder / "mask.cpp").write_text(program("cpp", "cpp"), encoding="utf-8")
    include, library = onnxruntime_folder / "include", onnxruntime_folder / "lib"
    words = ["g++", "-std=c++17", "mask.cpp", f"-I{include}", f"-L{library}", "-lonnxruntime", "-o", "mask"]
    subprocess.run(words, cwd=folder, check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(library)}
    subprocess.run(["./mask", "folded.onnx", "image.ppm", "cpp.pgm"], cwd=folder, env=environment, check=True)
    return np.asarray(Image.open(folder / "cpp.pgm"))


def node(folder: Path, packages: Path) -> NDArray[np.uint8]:
    """The mask that the program for Node writes."""
    (folder / "mask.js").write_text(program("javascript", "js"), encoding="utf-8")
    environment = {**os.environ, "NODE_PATH": str(packages / "node_modules")}
    words = ["node", "mask.js", "folded.onnx", "image.png", "node.pgm"]
    subprocess.run(words, cwd=folder, env=environment, check=True)
    return np.asarray(Image.open(folder / "node.pgm"))


def browser(folder: Path, packages: Path) -> NDArray[np.uint8]:
    """The mask that the page computes in Chromium, from a server on this machine; it stands in the page's title."""
    (folder / "index.html").write_text(program("javascript", "html"), encoding="utf-8")
    for pattern in WEB:
        for file in (packages / "node_modules/onnxruntime-web/dist").glob(pattern):
            shutil.copy(file, folder)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/index.html"
        words = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=60000"]
        shown = subprocess.run(
            [*words, "--dump-dom", address], capture_output=True, text=True, check=True, timeout=60 * MINUTES
        )
        server.shutdown()
    (title,) = re.findall(r"<title>([\d,]+)</title>", shown.stdout)
    size = Image.open(folder / "image.png").size[::-1]
    return np.array(title.split(","), np.uint8).reshape(size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cpp", type=Path)
    parser.add_argument("--node", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        wanted = folded(folder)
        if asked.cpp:
            _say("C++", cpp(folder, asked.cpp.resolve()), wanted)
        if asked.node:
            _say("Node", node(folder, asked.node.resolve()), wanted)
        if asked.node and shutil.which("chromium"):
            _say("Chromium", browser(folder, asked.node.resolve()), wanted)


def _say(name: str, mask: NDArray[np.uint8], wanted: NDArray[np.uint8]) -> None:
    differ = int(np.count_nonzero(mask != wanted))
    print(f"{name}: {differ} of {wanted.size} pixels differ from Python's")
    if differ:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
