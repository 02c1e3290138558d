"""Apps to test: a small model that an app can use, the demo's model, onnxruntime-web or a stand-in for it, a server."""

import http.server
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from quantseg.data.images import read_image
from quantseg.data.preprocess import resize, to_tensor
from quantseg.data.recipe import InputRecipe
from quantseg.errors import MissingExtraError
from quantseg.runtimes import npm
from quantseg.shipping.contents import RUNTIME


def stand_in(folder: Path) -> Path:
    """A node_modules folder with a package that looks like onnxruntime-web, to test what is written without it."""
    dist = folder / "onnxruntime-web" / "dist"
    dist.mkdir(parents=True)
    (dist.parent / "package.json").write_text(json.dumps({"version": npm.ONNXRUNTIME_WEB}))
    for name in RUNTIME:
        (dist / name).write_bytes(name.encode())
    return folder


def has_runtime() -> bool:
    """Whether onnxruntime-web is installed here."""
    try:
        npm.onnxruntime_web()
    except MissingExtraError:
        return False
    return True


def mask_in_python(app: Path, image: Path) -> NDArray[np.uint8]:
    """The mask that onnxruntime gives in Python for an image file, resized as the data of this package are."""
    facts = json.loads((app / "model/model.json").read_text(encoding="utf-8"))
    given = facts["input"]
    recipe = InputRecipe(layout="NHWC", channels=given["channels"], scale=1.0, resize=given["resize"])
    picture = resize(read_image(image), (given["height"], given["width"]), given["resize"])
    session = onnxruntime.InferenceSession(app / "model" / facts["file"], providers=["CPUExecutionProvider"])
    tensor = to_tensor(picture, recipe, "uint8")
    mask: NDArray[np.uint8] = session.run([facts["output"]["name"]], {given["name"]: tensor})[0][0]
    return mask


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words: Any) -> None: ...


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, *words: Any) -> None: ...


@contextmanager
def served(folder: Path, port: int = 0) -> Iterator[str]:
    """The folder, served as `python -m http.server` does: without any header of its own. The address."""
    with _Server(("127.0.0.1", port), partial(_Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://localhost:{server.server_port}/"
        finally:
            server.shutdown()
            thread.join()
