"""The app in a real browser: online once and then without a network, its mask Python's to the last pixel, a camera.

Skipped where there is no browser of chromium's family, or onnxruntime-web is not installed.
"""

import base64
import io
import json
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import quantseg as qs
from quantseg.data.drawn_cells import cell_image
from tests.shipping.conftest import NAMES, SEED
from tests.support import apps, camera, chromium
from tests.support.chromium import Browser, Page

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.chromium() is None, reason=f"no browser: {', '.join(chromium.BROWSERS)}"),
    pytest.mark.skipif(not apps.has_runtime(), reason="onnxruntime-web is not installed; run: quantseg web setup"),
]

WATCH = """
window.masks = [];
window.isReady = false;
document.addEventListener('ready', () => { window.isReady = true; });
document.addEventListener('mask', ({ detail }) => {
  window.masks.push({ ...detail, ids: Array.from(detail.ids) });
  if (window.masks.length > 3) window.masks.shift();
});
"""
READY = "document.readyState === 'complete' && window.isReady"
DROP = """
fetch('example.png').then((found) => found.blob()).then((blob) => {
  const given = new DataTransfer();
  given.items.add(new File([blob], 'dropped.png', { type: 'image/png' }));
  const drop = new DragEvent('drop', { dataTransfer: given, bubbles: true, cancelable: true });
  window.isPrevented = !document.getElementById('stage').dispatchEvent(drop);
})
"""
DONE = "document.getElementById('status').textContent.startsWith('Done')"
PIXELS = """
(() => {
  const canvas = document.getElementById('mask');
  return Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data);
})()
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    flags = ("--use-fake-device-for-media-stream",)  # there is a camera, which nobody has allowed yet
    with chromium.running(tmp_path_factory.mktemp("profile"), flags=flags) as found:
        yield found


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    found = browser.page(WATCH)
    yield found
    found.close()


@pytest.fixture
def served(cells_app: Path, tmp_path: Path) -> Iterator[str]:
    """The address of the demo's app, on a port of its own, so that nothing is stored for it yet."""
    with apps.served(cells_app) as address:
        yield address


def shown(page: Page, picture: Path) -> NDArray[np.uint8]:
    """The mask of a picture that is chosen in the page."""
    page.run("(window.masks = [], document.getElementById('status').textContent = '')")
    page.choose("file", picture)
    page.wait(DONE)
    mask = page.run("window.masks.at(-1)")
    return np.array(mask["ids"], np.uint8).reshape(mask["height"], mask["width"])


def test_online_once_then_without_a_network(page: Page, cells_app: Path, pictures: Path) -> None:
    wanted = {name: apps.mask_in_python(cells_app, pictures / f"{name}.png") for name in ("same", "wide", "tall")}
    assert len(np.unique(wanted["same"])) == 4
    assert all(len(np.unique(mask)) > 1 for mask in wanted.values())
    with apps.served(cells_app) as address:
        page.open(address)
        page.wait(READY)
        assert page.run("crossOriginIsolated"), "the service worker's headers, after one reload"
        assert page.text("threads") == str(min(4, os.cpu_count() or 1))
        assert page.text("offline") == "Works without a network."
        for name, mask in wanted.items():
            assert np.array_equal(shown(page, pictures / f"{name}.png"), mask), name
    again = page.browser.page(WATCH)
    again.open(address)  # nobody answers there any more
    again.wait(READY)
    assert again.run("crossOriginIsolated")
    for name, mask in wanted.items():
        assert np.array_equal(shown(again, pictures / f"{name}.png"), mask), name
    again.close()
    assert page.browser.said == []


def write_forms(folder: Path) -> Iterator[Path]:
    """One image in every form that browsers and Pillow read, transparency aside."""
    image, turned = Image.fromarray(cell_image(SEED, (203, 310))[0]), Image.Exif()
    turned[0x0112] = 6
    forms = {
        "a.jpg": {"quality": 75, "subsampling": 2},
        "progressive.jpg": {"quality": 90, "progressive": True},
        "turned.jpg": {"quality": 92, "exif": turned},
        "a.webp": {"quality": 80},
        "a.bmp": {},
    }
    for name, options in forms.items():
        image.save(folder / name, **options)
        yield folder / name
    for name, other in {"grey.png": image.convert("L"), "palette.png": image.quantize(64)}.items():
        other.save(folder / name)
        yield folder / name


def test_every_form_of_image_gives_python_s_mask(page: Page, served: str, cells_app: Path, tmp_path: Path) -> None:
    page.open(served)
    page.wait(READY)
    for file in write_forms(tmp_path):
        assert np.array_equal(shown(page, file), apps.mask_in_python(cells_app, file)), file.name


def test_another_project_on_the_same_port_is_shown(page: Page, cells_app: Path, tmp_path: Path) -> None:
    """The app was stored for this address; what is served there now wins at once, and nothing of the app stays."""
    with apps.served(cells_app) as address:
        page.open(address)
        page.wait(READY)
    (tmp_path / "index.html").write_text("<title>Another</title><script>document.title += ' project'</script>")
    with apps.served(tmp_path, int(address.rstrip("/").rpartition(":")[2])):
        page.open(address)
        page.wait("document.title === 'Another project'")  # its inline script ran: no policy of the app is on it
        assert not page.run("crossOriginIsolated")
        page.open(f"{address}?again")
        page.wait("document.title === 'Another project'")
        assert page.run("navigator.serviceWorker.getRegistrations().then((all) => all.length)") == 0
        assert page.run("caches.keys()") == []


def test_another_app_on_the_same_port_is_shown(page: Page, cells_app: Path, tmp_path: Path) -> None:
    with apps.served(cells_app) as address:
        page.open(address)
        page.wait(READY)
    shutil.copytree(cells_app, tmp_path / "app")
    facts = json.loads((tmp_path / "app/model/model.json").read_text())
    (tmp_path / "app/model/model.json").write_text(json.dumps({**facts, "name": "another"}))
    with apps.served(tmp_path / "app", int(address.rstrip("/").rpartition(":")[2])):
        page.open(address)
        page.wait(READY)
        assert page.text("name") == "another"
        assert page.run("crossOriginIsolated")


def test_a_server_that_does_not_answer_is_waited_for_once(page: Page, cells_app: Path, pictures: Path) -> None:
    with apps.served(cells_app) as address:
        page.open(address)
        page.wait(READY)
    with socket.create_server(("127.0.0.1", int(address.rstrip("/").rpartition(":")[2]))):
        start = time.monotonic()
        page.open(address)
        page.wait("document.getElementById('name')?.textContent === 'cells_unet'")
        assert 2 <= time.monotonic() - start < 10
        page.wait(READY)
        mask = apps.mask_in_python(cells_app, pictures / "wide.png")
        assert np.array_equal(shown(page, pictures / "wide.png"), mask)


def test_the_mask_is_drawn_in_the_colours_of_the_classes(
    page: Page, served: str, cells_app: Path, pictures: Path
) -> None:
    page.open(served)
    page.wait(READY)
    mask = shown(page, pictures / "wide.png")
    facts = json.loads((cells_app / "model/model.json").read_text())
    colours = [tuple(bytes.fromhex(one["colour"][1:])) for one in facts["classes"]]
    pixels = np.array(page.run(PIXELS), np.uint8).reshape(*mask.shape, 4)
    for number, colour in enumerate(colours):
        wanted = (0, 0, 0, 0) if number == 0 else (*colour, 255)  # the background is not drawn until it is ticked
        assert (pixels[mask == number] == wanted).all(), number
    page.run("document.querySelector('#classes input').click()")
    pixels = np.array(page.run(PIXELS), np.uint8).reshape(*mask.shape, 4)
    assert (pixels[mask == 0] == (*colours[0], 255)).all()
    shares = page.run("Array.from(document.querySelectorAll('#classes .share'), (one) => one.textContent)")
    for number, share in enumerate(shares):
        assert abs(float(share.strip("<% ")) - 100 * float((mask == number).mean())) <= 0.06


def test_opacity_and_before_and_after(page: Page, served: str, pictures: Path) -> None:
    page.open(served)
    page.wait(READY)
    shown(page, pictures / "same.png")
    page.run("for (const [id, value] of [['opacity', 25], ['split', 40]]) { const one = document.getElementById(id); "
             "one.value = value; one.dispatchEvent(new Event('input')); }")  # fmt: skip
    style = page.run(
        "(({ opacity, clipPath }) => [opacity, clipPath])(getComputedStyle(document.getElementById('mask')))"
    )
    assert style == ["0.25", "inset(0px 60% 0px 0px)"]
    assert page.text("split-shown") == "40 %"
    assert page.run("document.getElementById('edge').hidden") is False


def test_pictures_that_are_dropped_and_the_example(page: Page, cells_app: Path, pictures: Path, tmp_path: Path) -> None:
    place = tmp_path / "app"
    shutil.copytree(cells_app, place)
    facts = json.loads((place / "model/model.json").read_text())
    (place / "model/model.json").write_text(json.dumps({**facts, "example": "example.png"}))
    shutil.copyfile(pictures / "wide.png", place / "example.png")
    with apps.served(place) as address:
        page.open(address)
        page.wait(DONE)
        assert "example.png, 410 × 301" in page.text("status")
        page.run("window.masks = []")
        page.run(DROP)
        assert page.run("window.isPrevented")
        page.wait("document.getElementById('status').textContent.includes('dropped.png')")


def test_before_the_model_is_there_buttons_rest_and_what_is_dropped_waits(
    page: Page, cells_app: Path, pictures: Path, tmp_path: Path
) -> None:
    place = tmp_path / "app"
    shutil.copytree(cells_app, place)
    shutil.copyfile(pictures / "wide.png", place / "example.png")
    worker = place / "worker.js"
    text = worker.read_text()
    slow = "await new Promise((go) => { new BroadcastChannel('go').onmessage = go; });"
    slowly = text.replace("const bytes = new", f"{slow} const bytes = new")
    assert slowly != text
    worker.write_text(slowly)
    with apps.served(place) as address:
        page.open(address)
        page.wait(
            "window.crossOriginIsolated && document.getElementById('status').textContent === 'Loading the model …'"
        )
        assert page.run("['choose', 'camera', 'save'].map((id) => document.getElementById(id).disabled)") == [True] * 3
        page.run(DROP)
        assert page.run("window.isPrevented")
        assert page.run("window.masks.length") == 0
        page.wait("new BroadcastChannel('go').postMessage(1) === undefined && window.masks.length === 1")
        assert "dropped.png" in page.text("status")
        assert page.run("['choose', 'camera', 'save'].map((id) => document.getElementById(id).disabled)") == [False] * 3
        mask = page.run("window.masks.at(-1)")
    wanted = apps.mask_in_python(cells_app, pictures / "wide.png")
    assert np.array_equal(np.array(mask["ids"]).reshape(wanted.shape), wanted)


def test_the_mask_is_saved_in_the_size_of_the_picture(
    page: Page, served: str, cells_app: Path, pictures: Path, tmp_path: Path
) -> None:
    """The nearest pixel of the mask: no colour but those of the classes, and each where Pillow puts it."""
    shutil.copyfile(pictures / "wide.png", tmp_path / "a <b>.smear.png")
    page.open(served)
    page.wait(READY)
    page.run("document.querySelector('#classes input').click()")  # the background, too
    mask = shown(page, tmp_path / "a <b>.smear.png")
    page.run("""
      HTMLAnchorElement.prototype.click = function () { window.savedAs = this.download; };
      URL.createObjectURL = (blob) => {
        const reader = new FileReader();
        reader.onload = () => { window.saved = reader.result; };
        reader.readAsDataURL(blob);
        return 'blob:none';
      };
      document.getElementById('save').click();
    """)
    page.wait("window.saved !== undefined")
    assert page.run("window.savedAs") == "a <b>.smear-mask.png"
    image = Image.open(io.BytesIO(base64.b64decode(page.run("window.saved").partition(",")[2])))
    assert image.size == (410, 301)
    facts = json.loads((cells_app / "model/model.json").read_text())
    colours = np.array([tuple(bytes.fromhex(one["colour"][1:])) for one in facts["classes"]], np.uint8)
    wanted = Image.fromarray(mask).resize(image.size, Image.Resampling.NEAREST)
    assert np.array_equal(np.asarray(image.convert("RGB")), colours[np.asarray(wanted)])


def test_the_camera(cells_app: Path, tmp_path: Path) -> None:
    camera.write_y4m(tmp_path / "cells.y4m", [cell_image(SEED + k, (240, 320))[0] for k in range(3)])
    flags = (
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={tmp_path / 'cells.y4m'}",
    )
    with chromium.running(tmp_path / "profile", flags=flags) as browser, apps.served(cells_app) as address:
        page = browser.page(WATCH)
        page.open(address)
        page.wait(READY)
        page.run("document.getElementById('camera').click()")
        page.wait("window.masks.length >= 3 && document.getElementById('rate').textContent !== '–'")
        assert page.run("document.getElementById('camera').getAttribute('aria-pressed')") == "true"
        mask = np.array(page.run("window.masks.at(-1).ids"))
        assert len(np.unique(mask)) == 4, "cells, not a blank frame"
        assert (mask == 1).mean() > 0.05
        assert float(page.text("rate")) > 0
        page.run("document.getElementById('camera').click()")
        assert page.text("status") == "The camera is off."
        assert page.run("document.getElementById('camera').getAttribute('aria-pressed')") == "false"
        assert browser.said == []


def test_no_camera_is_one_line_and_the_rest_goes_on(page: Page, served: str, pictures: Path) -> None:
    page.open(served)
    page.wait(READY)
    page.run("navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('none', 'NotFoundError'))")
    page.run("document.getElementById('camera').click()")
    page.wait("!document.getElementById('problem').hidden")
    assert page.text("problem") == "No camera was found; choose a picture instead."
    shown(page, pictures / "same.png")
    assert page.run("document.getElementById('problem').hidden")


def test_a_camera_that_is_refused_is_one_line(page: Page, served: str, pictures: Path) -> None:
    page.browser.call(
        "Browser.setPermission", permission={"name": "camera"}, setting="denied", origin=served.rstrip("/")
    )
    page.open(served)
    page.wait(READY)
    page.run("document.getElementById('camera').click()")
    page.wait("!document.getElementById('problem').hidden")
    assert page.text("problem").startswith("The camera was not allowed; allow it in the browser")
    shown(page, pictures / "same.png")


def test_a_file_that_is_no_picture_is_one_line(page: Page, served: str, pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "<b>notes.png").write_text("no picture")
    page.open(served)
    page.wait(READY)
    page.choose("file", tmp_path / "<b>notes.png")
    page.wait("!document.getElementById('problem').hidden")
    assert page.text("problem").startswith("<b>notes.png: not a picture that this browser can read; choose a PNG")
    shown(page, pictures / "same.png")
    assert "%" in page.text("classes")
    page.choose("file", tmp_path / "<b>notes.png")
    page.wait("!document.getElementById('problem').hidden")
    assert "%" not in page.text("classes"), "no shares of a picture that is gone"
    assert page.text("model-ms") == "–"
    assert page.run("document.getElementById('save').disabled")
    assert page.run("document.getElementById('mask').hidden && !document.getElementById('hint').hidden")
    assert page.run("document.getElementById('status').getBoundingClientRect().height") == 0, "no gap"


def test_a_browser_without_simd_is_told(browser: Browser, served: str) -> None:
    page = browser.page("WebAssembly.validate = () => false;")
    page.open(served)
    page.wait("!document.getElementById('problem').hidden")
    assert page.text("problem").startswith("This browser has no WebAssembly SIMD")
    assert page.text("name") == "cells_unet"
    page.close()


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("model/model.int8.onnx", "model/model.int8.onnx is missing; copy the whole folder of the app"),
        ("model/model.json", "model/model.json is missing; copy the whole folder of the app"),
        ("vendor/ort.wasm.min.mjs", "vendor/ort.wasm.min.mjs is missing; copy the whole folder of the app"),
        ("vendor/ort-wasm-simd-threaded.wasm", "The model cannot be loaded: "),
        ("worker.js", "worker.js cannot be loaded; copy the whole folder"),
    ],
)
def test_a_file_of_the_app_that_is_missing_is_one_line(
    missing: str, said: str, page: Page, cells_app: Path, tmp_path: Path
) -> None:
    shutil.copytree(cells_app, tmp_path / "app")
    (tmp_path / "app" / missing).unlink()
    with apps.served(tmp_path / "app") as address:
        page.open(address)
        page.wait("!document.getElementById('problem').hidden")
        assert said in page.text("problem")
        assert page.text("status") == ""


def test_a_picture_of_forty_megapixels_in_strips(page: Page, served: str, cells_app: Path, tmp_path: Path) -> None:
    small = Image.fromarray(cell_image(SEED, (163, 240))[0])
    small.resize((7680, 5216), Image.Resampling.NEAREST).save(tmp_path / "large.png", compress_level=1)
    page.open(served)
    page.wait(READY)
    mask = shown(page, tmp_path / "large.png")
    assert page.text("status") == "Done: large.png, 7680 × 5216, read in strips as it is large."
    assert np.array_equal(mask, apps.mask_in_python(cells_app, tmp_path / "large.png"))
    assert page.run("document.getElementById('picture').width") == 1280


def test_names_of_strangers_are_shown_as_text(page: Page, folded_model: Path, images: Path, tmp_path: Path) -> None:
    app = qs.ship(folded_model, tmp_path / "app", example=images / "images/0.png")
    with apps.served(app) as address:
        page.open(address)
        page.wait(DONE)
    names = page.run("Array.from(document.querySelectorAll('#classes .name'), (one) => one.textContent)")
    assert names == [*NAMES]
    assert page.run("document.querySelectorAll('#classes img, #classes b').length") == 0


def test_opened_as_a_file_it_says_how_to_start_it(page: Page, cells_app: Path) -> None:
    page.open((cells_app / "index.html").as_uri())
    page.wait("document.readyState === 'complete'")
    said = page.run("document.body.innerText")
    assert "python3 -m http.server" in said
    assert "needs https" in said
    assert "Loading" not in said
    assert "Choose a picture" not in said


def test_over_http_from_another_computer_pictures_still_work(cells_app: Path, pictures: Path, tmp_path: Path) -> None:
    """As README.md says: no camera, nothing stored, one thread, and the same masks."""
    flags = ("--host-resolver-rules=MAP phone.test 127.0.0.1",)
    with chromium.running(tmp_path / "profile", flags=flags) as browser, apps.served(cells_app) as address:
        page = browser.page(WATCH)
        page.open(address.replace("localhost", "phone.test"))
        page.wait(READY)
        assert not page.run("isSecureContext")
        assert page.text("offline") == "Not stored for use without a network: that needs https or localhost."
        assert page.text("threads") == "1"
        mask = apps.mask_in_python(cells_app, pictures / "wide.png")
        assert np.array_equal(shown(page, pictures / "wide.png"), mask)
        page.run("document.getElementById('camera').click()")
        page.wait("!document.getElementById('problem').hidden")
        assert page.text("problem") == "The camera works only over https or from localhost; choose a picture instead."


def test_what_the_page_says_of_the_model(page: Page, folded_model: Path, cells_app: Path, tmp_path: Path) -> None:
    app = qs.ship(folded_model, tmp_path / "app", about="Noise <b>")
    card = (app / "MODEL_CARD.md").read_text(encoding="utf-8")
    with apps.served(app) as address:
        page.open(address)
        page.wait(READY)
        assert page.text("for") == "Made for: Noise <b>. On other pictures its masks mean nothing."
        assert page.text("about").startswith(f"Finds {NAMES[1]}, {NAMES[2]}. Pictures may have any size")
        page.run("document.getElementById('open-card').click()")
        page.wait("document.getElementById('card').open && document.getElementById('card-text').textContent")
        said = page.text("card-text")
        assert said.replace("\\", "") == card.replace("\\", "")
        assert not {"Ã", "Â", "â"} & {*said}
        page.run("document.getElementById('close-card').click()")
        assert not page.run("document.getElementById('card').open")
        page.open(f"{address}MODEL_CARD.md")
        page.wait("document.readyState === 'complete'")
        assert page.run("document.characterSet") == "UTF-8"


@pytest.mark.parametrize("name", ["same", "tall", "wide"])
def test_all_that_is_used_is_seen_at_once(name: str, page: Page, served: str, pictures: Path) -> None:
    page.screen(1280, 800)
    page.open(served)
    page.wait(READY)
    shown(page, pictures / f"{name}.png")
    assert page.run("document.getElementById('split').getBoundingClientRect().bottom") <= 800


def test_a_phone_is_not_asked_to_drop_pictures(page: Page, served: str) -> None:
    page.screen(360, 740, touch=True)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    page.open(served)
    page.wait(READY)
    assert "drop" not in page.run("document.body.innerText").lower()


def test_nothing_is_asked_of_others(page: Page, served: str) -> None:
    page.open(served)
    page.wait(READY)
    asked = page.run("performance.getEntriesByType('resource').map(({ name }) => name)")
    assert asked
    assert [address for address in asked if not address.startswith((served, "blob:"))] == []
    page.run("(window.stopped = [], document.addEventListener('securitypolicyviolation', "
             "({ blockedURI }) => window.stopped.push(blockedURI)))")  # fmt: skip
    page.run("fetch('https://example.org/').catch(() => null)")
    page.wait("window.stopped.length > 0")


@pytest.mark.parametrize(("width", "height"), [(360, 740), (1280, 900)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_and_on_a_desk(
    width: int, height: int, scheme: str, page: Page, served: str, pictures: Path
) -> None:
    page.screen(width, height, scheme=scheme, touch=width < 500)
    page.open(served)
    page.wait(READY)
    shown(page, pictures / "wide.png")
    assert page.run("document.documentElement.scrollWidth") <= width
    page.screen(width, height, scheme=scheme)
    small = page.run("""
      Array.from(document.querySelectorAll('button')).filter((one) => one.checkVisibility())
        .map((one) => one.getBoundingClientRect())
        .filter(({ width, height }) => width < 40 || height < 40).length""")
    assert small == 0
    for element in ("body", ".controls .main", "#status", "#classes li"):
        ratio = page.run(CONTRAST.replace("ELEMENT", json.dumps(element)))
        assert ratio >= 4.5, (element, ratio)


CONTRAST = """
(() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => {
    const linear = (c) => (c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    const [r, g, b] = numbers(colour).map((part) => linear(part / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const element = document.querySelector(ELEMENT);
  let behind = element;
  while (numbers(getComputedStyle(behind).backgroundColor)[3] === 0) behind = behind.parentElement;
  const [a, b] = [getComputedStyle(element).color, getComputedStyle(behind).backgroundColor].map(light);
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
})()
"""


def test_all_that_is_used_has_a_name_and_is_reached_by_keyboard(page: Page, served: str, pictures: Path) -> None:
    page.open(served)
    page.wait(READY)
    shown(page, pictures / "same.png")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    used = [one for one in nodes if one.get("role", {}).get("value") in ("button", "slider", "checkbox", "link")]
    assert len(used) >= 10
    assert [one for one in used if not one.get("name", {}).get("value")] == []
    page.run("document.activeElement.blur()")
    reached = set()
    for _ in range(14):
        for kind in ("rawKeyDown", "keyUp"):
            page.call("Input.dispatchKeyEvent", type=kind, key="Tab", code="Tab", windowsVirtualKeyCode=9)
        reached.add(page.run("document.activeElement.id || document.activeElement.type || document.activeElement.href"))
    assert {"choose", "camera", "save", "opacity", "split", "checkbox"} <= reached
