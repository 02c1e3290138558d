"""Classical methods of segmentation as baselines: thresholds, clusters, edges, basins and graphs beside networks.

methods/ parts an image into segments, one method a file; table.py lists them. rule.py gives segments their classes by
colours learnt from a few labelled images. baselines.py judges all beside a network, timing.py times them in turns,
comparing.py does both.
They need scikit-image, the extra `classical`; nothing here imports it before a method runs.
"""

from quantseg.evaluation.classical.baselines import FLOAT, INT8, Baseline, Baselines, Rules, learn
from quantseg.evaluation.classical.comparing import compare_classical, judged_beside
from quantseg.evaluation.classical.rule import ColourRule, class_mask, learnt
from quantseg.evaluation.classical.segments import Method, require_classical, segmented
from quantseg.evaluation.classical.table import CLASSICAL

__all__ = [
    "CLASSICAL",
    "FLOAT",
    "INT8",
    "Baseline",
    "Baselines",
    "ColourRule",
    "Method",
    "Rules",
    "class_mask",
    "compare_classical",
    "judged_beside",
    "learn",
    "learnt",
    "require_classical",
    "segmented",
]
