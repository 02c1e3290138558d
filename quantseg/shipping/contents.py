"""The files of an app, put together: the page, its runtime, the model in each format, programs, and the model card."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from quantseg import __version__, graph
from quantseg.errors import OutputError
from quantseg.files import json_text
from quantseg.runtimes import npm
from quantseg.shipping import icon, native
from quantseg.shipping.about import made_for
from quantseg.shipping.card import card
from quantseg.shipping.facts import AppFacts, facts_of
from quantseg.shipping.formats import Formats, other_formats
from quantseg.shipping.readme import readme
from quantseg.shipping.story import Story

MODEL, FACTS, EXAMPLE = "model/model.int8.onnx", "model/model.json", "example.png"
RUNTIME = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
"""The files of onnxruntime-web that run a model in WebAssembly, with threads or without."""
_NOT_STORED = (
    "native/",
    "README.md",
    "model/model.ort",
    "model/model.tflite",
    "package.json",
    "sw.js",
    "vendor/LICENSE",
)
"""What the page never asks for: a browser stores the rest."""
_POLICY = re.compile(r'http-equiv="Content-Security-Policy" content="([^"]+)"')


@dataclass(frozen=True)
class App:
    """An app before it is written. files: path in its folder → content. formats: the model in other formats."""

    facts: AppFacts
    files: Mapping[str, bytes]
    formats: Formats

    @property
    def own_bytes(self) -> int:
        """Bytes of what is neither a model nor the runtime."""
        return sum(len(content) for path, content in self.files.items() if not path.startswith(("model/", "vendor/")))

    @property
    def runtime_bytes(self) -> int:
        """Bytes of onnxruntime-web's files."""
        return sum(len(content) for path, content in self.files.items() if path.startswith("vendor/"))


def app_of(onnx: bytes, name: str, story: Story, *, example: bytes | None = None) -> App:
    """The app of a quantised model. name: its file's, without ending. example: a PNG that the page shows first.

    Raises ModelError for a model that an app cannot use (see `facts_of`), MissingExtraError without onnxruntime-web.
    """
    model = graph.load(onnx)
    facts, runtime = facts_of(model, name), _runtime()
    formats = other_formats(onnx, story.candidate)
    files = _page()
    files |= {MODEL: onnx, FACTS: _facts(facts, onnx, story.about, example is not None)}
    files |= {f"model/model{ending}": content for ending, content in formats.made.items()}
    files |= {"icon.svg": icon.svg(facts.colours).encode()}
    files |= {f"icon-{side}.png": icon.png(facts.colours, side) for side in icon.SIZES}
    files |= {} if example is None else {EXAMPLE: example}
    files |= {f"vendor/{path}": content for path, content in runtime.items()}
    files |= {"manifest.webmanifest": _manifest(facts), "package.json": _package(facts)}
    files |= {f"native/{path}": content.encode() for path, content in native.programs(facts).items()}
    files["MODEL_CARD.md"] = card(facts, model, story, formats, len(onnx)).encode()
    files["README.md"] = readme(facts, story.about).encode()
    files["sw.js"] = _service_worker(files)
    return App(facts, files, formats)


def _page() -> dict[str, bytes]:
    """The files of the page, as they lie in web/."""
    folder = resources.files("quantseg.shipping") / "web"
    return {entry.name: entry.read_bytes() for entry in sorted(folder.iterdir(), key=lambda one: one.name)}


def _runtime() -> dict[str, bytes]:
    """The three files of onnxruntime-web, and its licence. Raises MissingExtraError."""
    package = npm.onnxruntime_web()
    try:
        found = {name: (package / "dist" / name).read_bytes() for name in RUNTIME}
    except OSError as error:
        raise OutputError(f"{error.filename}: {error.strerror}; run: quantseg web setup") from error
    licence = resources.files("quantseg.shipping") / "vendor" / "LICENSE"  # the npm package comes without
    return found | {licence.name: licence.read_bytes()}


def _facts(facts: AppFacts, onnx: bytes, about: str | None, has_example: bool) -> bytes:
    file = {"file": Path(MODEL).name, "bytes": len(onnx), "sha256": hashlib.sha256(onnx).hexdigest()}
    made = {
        "about": made_for(about),
        "example": EXAMPLE if has_example else None,
        "made_with": f"quantseg {__version__}",
    }
    return (json_text(facts.to_json() | file | made, indent=1) + "\n").encode()


def _manifest(facts: AppFacts) -> bytes:
    icons = [{"src": f"icon-{side}.png", "sizes": f"{side}x{side}", "type": "image/png"} for side in icon.SIZES]
    value = {
        "name": facts.name,
        "short_name": facts.name[:12],
        "description": "Finds what is where in a picture, on this device.",
        "start_url": "./",
        "scope": "./",
        "display": "standalone",
        "background_color": "#f6f8f8",
        "theme_color": "#00695c",
        "icons": [{"src": "icon.svg", "sizes": "any", "type": "image/svg+xml"}, *icons],
    }
    return (json_text(value, indent=1) + "\n").encode()


def _package(facts: AppFacts) -> bytes:
    """For npm: which runtime is in vendor/, and what the program in native/javascript needs."""
    value = {
        "name": "segmentation-app",
        "version": "1.0.0",
        "private": True,
        "type": "module",
        "description": f"An app of the model {facts.name}; vendor/ holds files of onnxruntime-web as they are",
        "dependencies": {"onnxruntime-web": npm.ONNXRUNTIME_WEB},
    }
    return (json_text(value, indent=1) + "\n").encode()


def _service_worker(files: Mapping[str, bytes]) -> bytes:
    """sw.js with the list of files that a browser stores, and their version: another one is stored anew."""
    stored = sorted(path for path in files if not path.startswith(_NOT_STORED))
    digest = hashlib.sha256(files["sw.js"])
    for path in stored:
        digest.update(f"{path}\0".encode() + hashlib.sha256(files[path]).digest())
    policy = _POLICY.search(files["index.html"].decode())
    assert policy is not None
    words = {
        "@VERSION@": digest.hexdigest()[:16],
        "@FILES@": json_text(["./", *stored]),
        "@POLICY@": policy[1],
    }
    text = files["sw.js"].decode()
    for word, value in words.items():
        text = text.replace(word, value)
    return text.encode()
