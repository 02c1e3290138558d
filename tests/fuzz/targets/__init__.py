"""The kinds of files that the tool reads, one target each."""

from collections.abc import Mapping

from tests.fuzz.target import Target
from tests.fuzz.targets.arrays import ARRAYS
from tests.fuzz.targets.calibration import CALIBRATION
from tests.fuzz.targets.costs import COSTS
from tests.fuzz.targets.datasets import COCO, LISTS, TREE
from tests.fuzz.targets.images import IMAGE, MASK
from tests.fuzz.targets.int8 import INT8
from tests.fuzz.targets.model import MODEL
from tests.fuzz.targets.recipe import RECIPE
from tests.fuzz.targets.report import REPORT
from tests.fuzz.targets.run import RUN
from tests.fuzz.targets.sums import SUMS
from tests.fuzz.targets.tflite import TFLITE

TARGETS: Mapping[str, Target] = {
    "model": MODEL,
    "int8": INT8,
    "tflite": TFLITE,
    "recipe": RECIPE,
    "calibration": CALIBRATION,
    "sums": SUMS,
    "run": RUN,
    "image": IMAGE,
    "mask": MASK,
    "coco": COCO,
    "lists": LISTS,
    "tree": TREE,
    "arrays": ARRAYS,
    "costs": COSTS,
    "report": REPORT,
}
