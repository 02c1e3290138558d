"""Screenshots of the demo's app at the width of a phone and of a desk, light and dark.

    python -m tests.bench.app_screenshots [FOLDER]

The picture is drawn, so it may be shown. Needs chromium and onnxruntime-web.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

import quantseg as qs
from quantseg.cli.demo_app import ABOUT
from quantseg.data.drawn_cells import cell_image, write_cells
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, demo_model
from tests.bench.screenshots import COLOURS, FOLDER, MOST_BYTES, Screen
from tests.support import apps, chromium

SCREENS = (Screen("phone", 360, 900, 1.5), Screen("desk", 1280, 900))
DONE = "document.getElementById('status')?.textContent.startsWith('Done')"


def main() -> int:
    """Runs the command; 2 without a browser or the runtime."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    if chromium.chromium() is None or not apps.has_runtime():
        print("needs chromium, and onnxruntime-web: quantseg web setup", file=sys.stderr)
        return 2
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        write_cells(place / "calib", 8, seed=CALIBRATION_SEED)
        Image.fromarray(cell_image(VALIDATION_SEED + 8, (240, 320))[0]).save(place / "example.png")
        (place / demo_model().name).write_bytes(demo_model().read_bytes())
        app = qs.ship(
            place / demo_model().name,
            place / "app",
            place / "calib",
            effort="fast",
            example=place / "example.png",
            about=ABOUT,
        )
        with apps.served(app) as address, chromium.running(place / "profile") as browser:
            for screen in SCREENS:
                for scheme in ("light", "dark"):
                    page = browser.page()
                    page.screen(
                        screen.width, screen.height, scale=screen.scale, scheme=scheme, touch=screen.width < 500
                    )
                    page.open(address)
                    page.wait(DONE)
                    page.run("for (const [id, value] of [['split', 62]]) { const one = document.getElementById(id); "
                             "one.value = value; one.dispatchEvent(new Event('input')); }")  # fmt: skip
                    target = folder / f"app_{screen.name}_{scheme}.png"
                    with Image.open(io.BytesIO(page.screenshot())) as image:
                        few = image.convert("RGB").quantize(
                            COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE
                        )
                        few.save(target, optimize=True)
                    page.close()
                    print(f"wrote {target} ({target.stat().st_size / 1000:.0f} kB)")
                    if target.stat().st_size > MOST_BYTES:
                        raise ValueError(f"{target.name}: {target.stat().st_size} bytes are more than {MOST_BYTES}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
