"""A folder with the files that the pages speak of: the demo's model, its int8 form, drawn images."""

import shutil
from pathlib import Path

from quantseg.data.drawn_cells import write_cells
from quantseg.evaluation.reference_models import CALIBRATION_SEED, VALIDATION_SEED, reference_models
from tests.support import yolo_like
from tests.support.command_line import shell

CALIBRATION_IMAGES, JUDGED_IMAGES = 4, 2
RECIPE = """[output]
head = "argmax"
classes = ["background", "red cell", "cytoplasm", "nucleus"]
"""


def make(folder: Path) -> None:
    """model.onnx, model.int8.onnx, others.int8.onnx, recipe.toml, calib/ and val/ with images/ and masks/.

    Also yolo.onnx, a network of instances, and objects/ with images/, masks/ and instances/.
    """
    yolo_like.write(folder)
    write_cells(folder / "calib", CALIBRATION_IMAGES, seed=CALIBRATION_SEED)
    write_cells(folder / "val", JUDGED_IMAGES, seed=VALIDATION_SEED)
    (folder / "model.onnx").write_bytes(reference_models()["cells_unet"].read_bytes())
    (folder / "recipe.toml").write_text(RECIPE, encoding="utf-8")
    words = ["quantize", "model.onnx", "--data", "calib/", "--effort", "fast", "--output", "model.int8.onnx"]
    made = shell(*words, cwd=folder)  # as the pages do: a command overwrites what the same command wrote
    assert made.returncode == 0, made.stderr
    shutil.copy(folder / "model.int8.onnx", folder / "others.int8.onnx")
