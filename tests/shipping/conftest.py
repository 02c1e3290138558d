"""An app of a network of random weights with a stand-in for the runtime, and one of the demo's model without."""

import shutil
from pathlib import Path

import pytest
from PIL import Image

import quantseg as qs
from quantseg.data.drawn_cells import cell_image, write_cells
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, demo_model
from quantseg.runtimes import npm
from tests.support import apps

NAMES = ("background", "road <b>", '"><img src=x onerror=alert(1)>')
"""Names of classes, as a stranger may choose them."""
SEED = VALIDATION_SEED + 8
"""Of a drawn image with cells of all kinds."""


@pytest.fixture(scope="session")
def folded_model(float_model: Path, images: Path) -> Path:
    """The network of random weights in int8, pixels in and class ids out."""
    path = float_model.with_name("folded.int8.onnx")
    recipe = float_model.with_name("recipe.toml")
    recipe.write_text(Recipe(output=OutputRecipe(classes=NAMES)).to_toml(), encoding="utf-8")
    model = qs.load(float_model, recipe)
    return qs.quantize(model, images, effort="fast", fold=("preprocess", "argmax"), threads=1).save(path)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package that looks like onnxruntime-web is found."""
    place = apps.stand_in(tmp_path / "node_modules")
    monkeypatch.setenv(npm.NODE_MODULES_VARIABLE, str(place))
    return place


@pytest.fixture(scope="session")
def cells_app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The app of the demo's model, with onnxruntime-web; skipped where that is not installed."""
    if not apps.has_runtime():
        pytest.skip("onnxruntime-web is not installed; run: quantseg web setup")
    place = tmp_path_factory.mktemp("cells")
    write_cells(place / "calib", 4, seed=CALIBRATION_SEED)
    shutil.copyfile(demo_model(), place / "cells_unet.onnx")
    return qs.ship(place / "cells_unet.onnx", place / "app", place / "calib", effort="fast", threads=2)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn cells as PNG: of the model's size, wider, and so tall that Pillow resizes columns first."""
    place = tmp_path_factory.mktemp("pictures")
    for name, size in {"same": (192, 192), "wide": (301, 410), "tall": (700, 200)}.items():
        Image.fromarray(cell_image(SEED, size)[0]).save(place / f"{name}.png")
    return place
