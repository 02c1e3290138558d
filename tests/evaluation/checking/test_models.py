"""A check names the true input, head and number of classes of all reference models, and of models that lie beside."""

from pathlib import Path

import pytest

import quantseg as qs
from quantseg.quantization.float_model import RecipeSource
from tests.support.places import SHARED, WEIGHTS

OTHERS = {
    "deeplab_v3_mbv2_voc": ("sub_7", "argmax", 21),
    "road_segmentation_adas_0001": ("data", "argmax", 4),
    "sinet_portrait": ("data", "argmax", 2),
    "ppocr_mobile_v2_det": ("x", "threshold", 2),
}


OF_INSTANCES = {"mask_rcnn": ("mask-rcnn", 2), "yolo_seg": ("yolo-seg", 2)}


@pytest.mark.parametrize("path", sorted(WEIGHTS.glob("*.onnx")), ids=lambda path: path.stem)
def test_reference_models(path: Path) -> None:
    found = qs.check(path)
    of_mask = "argmax", {"cells_unet": 4, "wbc_unet": 3}.get(path.stem, 11)
    head, classes = OF_INSTANCES.get(path.stem, of_mask)
    assert (found.image, found.recipe.output.head, found.classes) == ("image", head, classes)
    assert found.is_fine


@pytest.mark.parametrize("name", OTHERS)
def test_models_that_lie_beside(name: str) -> None:
    path = SHARED / "models" / f"{name}.onnx"
    if not path.exists():
        pytest.skip("needs the models in ../shared")
    found = qs.check(path, recipe=RecipeSource(flags={"size": (352, 480)} if name.startswith("ppocr") else {}))
    assert (found.image, found.recipe.output.head, found.classes) == OTHERS[name]
