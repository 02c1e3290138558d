"""The app that `quantseg ship` writes, in Chromium: first paint, without a network, frames per second, its folder.

    python -m tests.bench.app [MODEL …] [--target portable] [--seconds 10]

MODEL: cells_unet@256 (the demo's network at 256x256), the name of a reference model, or one of ../shared/models. The
film of the made-up camera is the model's own images. Needs chromium and onnxruntime-web (`quantseg web setup`); run it
on a quiet machine. Frames per second are taken in alternating rounds of one and two threads.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

import quantseg as qs
from quantseg import graph
from quantseg.api.shipping import png
from quantseg.data.drawn_cells import write_cells
from quantseg.data.recipe import METADATA_KEY, override, recipe_from_toml
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, demo_model
from quantseg.graph.declarations import with_input_sizes
from quantseg.quantization.float_model import FloatModel
from quantseg.report import tables
from quantseg.runtimes.macs import multiply_accumulates
from tests.bench import contestants, writing
from tests.support import apps, camera, chromium
from tests.support.chromium import Browser, Page

CELLS = "cells_unet@256"
MODELS = (CELLS, "mobile", "sinet_portrait", "road_segmentation_adas_0001")
SIDE, FILM = 256, (480, 640)
PAINTS, ROUNDS = 5, 3
THREADS = (1, 2)
IMAGES = 8
WATCH = """
window.frames_ = [];
window.isReady = false;
document.addEventListener('ready', () => { window.isReady = true; });
document.addEventListener('mask', ({ detail: { ms, ids } }) => {
  window.frames_.push({ ...ms, at: performance.now() });
  window.ids = Array.from(ids);
});
new PerformanceObserver((list) => list.getEntriesByName('first-contentful-paint').forEach(({ startTime }) => {
  console.log(`painted ${startTime}`);
})).observe({ type: 'paint', buffered: true });
"""
READY = "document.readyState === 'complete' && window.isReady"
DONE = "document.getElementById('status').textContent.startsWith('Done')"
CHANNELS, PLANE = 256, 64
PROBE = """
(async () => {
  const ort = await import(new URL('vendor/ort.wasm.min.mjs', location.href).href);
  ort.env.wasm.wasmPaths = new URL('vendor/', location.href).href;
  ort.env.wasm.numThreads = THREADS;
  const session = await ort.InferenceSession.create('probe.onnx', { executionProviders: ['wasm'] });
  const given = new ort.Tensor('uint8', new Uint8Array(SIZE).fill(100), [1, CHANNELS, PLANE, PLANE]);
  const times = [];
  for (let k = 0; k < 6; k++) {
    const start = performance.now();
    await session.run({ x: given });
    times.push(performance.now() - start);
  }
  return Math.min(...times.slice(1));
})()
"""


@dataclass(frozen=True)
class Figures:
    """What was measured of one app. ms: medians of the model alone, of resizing, and of a frame in all, by threads.

    rate: frames per second; roof: what the fastest product of this machine in WebAssembly would allow the model alone.
    """

    name: str
    size: str
    bytes: Mapping[str, int]
    first_paint_ms: float
    offline_paint_ms: float
    ready_ms: float
    differing_pixels: int
    differing_offline: int
    rate: Mapping[str, float]
    ms: Mapping[str, Mapping[str, float]]
    roof: Mapping[str, float]


@contextmanager
def subject(name: str) -> Iterator[tuple[FloatModel, object, list[Path]]]:
    """A float model, its calibration images, and a few image files for film and picture."""
    if name != CELLS:
        with (
            contestants.subject(name, calibration=24, validation=IMAGES) as one,
            tempfile.TemporaryDirectory() as folder,
        ):
            files = []
            for index in range(min(IMAGES, len(one.validation.names))):
                files.append(Path(folder) / f"{index}.png")
                files[-1].write_bytes(png(one.validation.load(index).image))
            yield one.model, one.calibration, files
        return
    with tempfile.TemporaryDirectory() as name_of_folder:
        folder = Path(name_of_folder)
        network = graph.load(demo_model())
        (spec, *_), _ = graph.signature(network)
        network = with_input_sizes(network, {spec.name: (1, 3, SIDE, SIDE)})
        graph.infer_shapes(network)
        recipe = recipe_from_toml(network.metadata_props[METADATA_KEY], source=name)
        network.metadata_props[METADATA_KEY] = override(recipe, size=(SIDE, SIDE)).to_toml()
        graph.save(network, folder / f"{name}.onnx")
        for part, seed in (("calib", CALIBRATION_SEED), ("val", VALIDATION_SEED)):
            write_cells(folder / part, 24 if part == "calib" else IMAGES, seed=seed)
        yield qs.load(folder / f"{name}.onnx"), folder / "calib", sorted((folder / "val/images").glob("*.png"))


def probe() -> bytes:
    """A convolution with much to do for each byte: what is fastest in WebAssembly here."""
    text = f"""<ir_version: 8, opset_import: ["": 13]>
    g (uint8[1,{CHANNELS},{PLANE},{PLANE}] x) => (uint8[1,{CHANNELS},{PLANE},{PLANE}] y)
    <float s = {{0.01}}, uint8 z = {{0}}, float t = {{0.002}}, int8 o = {{0}}, float r = {{0.5}}>
    {{ y = QLinearConv<pads=[1,1,1,1]>(x, s, z, w, t, o, r, z) }}"""
    model = onnx.parser.parse_model(text)
    weight = np.random.default_rng(0).integers(-60, 61, (CHANNELS, CHANNELS, 3, 3), np.int8)
    model.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    content: bytes = model.SerializeToString()
    return content


def paints(app: Path) -> tuple[float, float, float]:
    """Medians over fresh profiles: ms to the first paint from the server, without it, and until the page is ready."""
    online, offline, ready = [], [], []
    for _ in range(PAINTS):
        with tempfile.TemporaryDirectory() as profile, chromium.running(Path(profile)) as browser:
            page = browser.page(WATCH)
            with apps.served(app) as address:
                page.open(address)
                page.wait(READY)
                ready.append(page.run("performance.now()"))
                online.append(painted(browser)[0])
            browser.said.clear()
            page = browser.page(WATCH)
            page.open(address)
            page.wait(READY)
            page.wait("performance.getEntriesByName('first-contentful-paint').length")
            offline.append(painted(browser)[-1])
    return statistics.median(online), statistics.median(offline), statistics.median(ready)


def painted(browser: Browser) -> list[float]:
    return [float(line.split()[1]) for line in browser.said if line.startswith("painted ")]


def differing(page: Page, app: Path, picture: Path) -> int:
    """Pixels of the page's mask of a picture that are not Python's."""
    page.run("document.getElementById('status').textContent = ''")
    page.choose("file", picture)
    page.wait(DONE)
    mask = apps.mask_in_python(app, picture)
    return int(np.count_nonzero(np.array(page.run("window.ids")) != mask.ravel()))


def filmed(page: Page, seconds: float) -> tuple[float, dict[str, float]]:
    """Frames per second of the camera, and medians of the milliseconds of a frame's parts."""
    page.run("document.getElementById('camera').click()")
    page.wait("window.frames_.length > 3")
    page.run("window.frames_ = []")
    page.run(f"new Promise((resolve) => setTimeout(resolve, {1000 * seconds}))")
    frames = page.run("window.frames_")
    page.run("document.getElementById('camera').click()")
    if len(frames) < 2:
        raise SystemExit(f"only {len(frames)} frames in {seconds} s; give more --seconds")
    rate = 1000 * (len(frames) - 1) / (frames[-1]["at"] - frames[0]["at"])
    return rate, {part: statistics.median(one[part] for one in frames) for part in ("model", "resize", "all")}


def measured(name: str, target: str, seconds: float, folder: Path) -> Figures:
    """Ships a model and measures its app."""
    with subject(name) as (model, data, files):
        app = qs.ship(model, folder / "app", data, effort="fast", target=target, threads=2)
        macs = sum(multiply_accumulates(model.prepared, model.inputs.shapes(_whole(model))).values())
        camera.write_y4m(
            folder / "film.y4m", [np.asarray(Image.open(one).convert("RGB").resize(FILM[::-1])) for one in files]
        )
        first, offline_paint, ready = paints(app)
        flags = (
            "--use-fake-ui-for-media-stream",
            "--use-fake-device-for-media-stream",
            f"--use-file-for-fake-video-capture={folder / 'film.y4m'}",
        )
        rates: dict[str, list[float]] = {str(count): [] for count in THREADS}
        times: dict[str, list[dict[str, float]]] = {str(count): [] for count in THREADS}
        roofs: dict[str, float] = {}
        (app / "probe.onnx").write_bytes(probe())
        with chromium.running(folder / "profile", flags=flags) as browser:
            page = browser.page(WATCH)
            with apps.served(app) as address:
                page.open(address)
                page.wait(READY)
                online = differing(page, app, files[0])
                for count in THREADS:
                    page.open(f"{address}?threads={count}")
                    page.wait(READY)
                    words = {"THREADS": count, "SIZE": CHANNELS * PLANE**2, "CHANNELS": CHANNELS, "PLANE": PLANE}
                    script = PROBE
                    for word, value in words.items():
                        script = script.replace(word, str(value))
                    roofs[str(count)] = page.run(script)
            page.close()
            page = browser.page(WATCH)
            page.open(address)  # from here on nobody serves it
            page.wait(READY)
            without = differing(page, app, files[0])
            for _ in range(ROUNDS):
                for count in THREADS:
                    page.open(f"{address}?threads={count}")
                    page.wait(READY)
                    rate, parts = filmed(page, seconds)
                    rates[str(count)].append(rate)
                    times[str(count)].append(parts)
    per_mac = {count: ms / (CHANNELS**2 * 9 * PLANE**2) for count, ms in roofs.items()}
    return Figures(
        name=name,
        size="x".join(map(str, model.recipe.input.size or ())),
        bytes=sizes(app),
        first_paint_ms=first,
        offline_paint_ms=offline_paint,
        ready_ms=ready,
        differing_pixels=online,
        differing_offline=without,
        rate={count: statistics.median(found) for count, found in rates.items()},
        ms={
            count: {part: statistics.median(one[part] for one in found) for part in found[0]}
            for count, found in times.items()
        },
        roof={count: 1000 / (macs * each) for count, each in per_mac.items()},
    )


def _whole(model: FloatModel) -> tuple[int, ...]:
    height, width = model.recipe.input.size or (0, 0)
    channels = 1 if model.recipe.input.channels == "GRAY" else 3
    return (1, channels, height, width) if model.recipe.input.layout == "NCHW" else (1, height, width, channels)


def sizes(app: Path) -> dict[str, int]:
    """Bytes of the folder's parts."""
    found = {"model": 0, "runtime": 0, "rest": 0}
    listed = json.loads((app / "quantseg.json").read_text(encoding="utf-8"))["files"]
    for name in listed:
        part = {"model": "model", "vendor": "runtime"}.get(name.split("/")[0], "rest")
        found[part] += (app / name).stat().st_size
    return found


def rows(figures: list[Figures]) -> tuple[list[tables.Row], list[tables.Row]]:
    """The table of the page and its folder, and that of speed."""
    page = [
        (
            one.name,
            tables.milliseconds(one.first_paint_ms),
            tables.milliseconds(one.offline_paint_ms),
            tables.milliseconds(one.ready_ms),
            f"{one.differing_pixels}, {one.differing_offline}",
            *(tables.megabytes(one.bytes[part]) for part in ("model", "runtime", "rest")),
        )
        for one in figures
    ]
    speed = [
        (
            f"{one.name}, {one.size}",
            count,
            f"{one.rate[count]:.1f}",
            *(tables.milliseconds(one.ms[count][part]) for part in ("all", "model", "resize")),
            f"{one.roof[count]:.1f}",
        )
        for one in figures
        for count in one.rate
    ]
    return page, speed


def main() -> int:
    """Measures and writes the report; 2 without a browser or the runtime."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--target", default="portable")
    parser.add_argument("--seconds", type=float, default=10.0)
    asked = parser.parse_args()
    if chromium.chromium() is None or not apps.has_runtime():
        print("needs chromium, and onnxruntime-web: quantseg web setup", file=sys.stderr)
        return 2
    figures = []
    for name in asked.models:
        with tempfile.TemporaryDirectory() as folder:
            figures.append(measured(name, asked.target, asked.seconds, Path(folder)))
            print(figures[-1], flush=True)
    page, speed = rows(figures)
    sections: dict[str, Any] = {
        "Page and folder": (
            ("model", "first paint", "without network", "ready", "pixels unlike Python's", "model", "runtime", "rest"),
            page,
        ),
        "The camera": (("model", "threads", "frames/s", "frame", "model alone", "resize", "roof, frames/s"), speed),
    }
    method = (
        f"`quantseg ship` at effort fast, target {asked.target}, opened in headless Chromium from a server on this "
        f"machine that sends no headers of its own. First paint (contentful): median of {PAINTS} fresh profiles, "
        "from the server, then with the server gone; ready: until an image can be chosen, after the service worker has "
        "stored the app and the page has reloaded. Pixels: of the mask of one image, online and without a network. "
        "Model: .onnx and .ort together; rest: page, programs, icons, card. Camera: a made-up one of 640x480 pixels "
        f"that shows the model's images, {ROUNDS} alternating rounds of {asked.seconds:g} s, with the network gone; "
        "medians. Roof: the model's MACs at the speed of a 3x3 QLinearConv of 256 channels in the same page, the model "
        "alone."
    )
    writing.write(
        "app", writing.Page("The app in a browser", method, sections), {"apps": [asdict(one) for one in figures]}
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
