"""Heads that read instances, whose masks may overlap and whose number is open. The boxes and rules are shared.

mask-rcnn     boxes, labels, scores and masks after suppression in the graph
yolo-seg      anchors with mask coefficients, and prototypes; suppression is done here
query-masks   class logits and a mask for each query
"""

from collections.abc import Mapping

from quantseg.data.heads.head import InstanceHead
from quantseg.data.heads.instances.mask_rcnn import MaskRcnn
from quantseg.data.heads.instances.query_masks import QueryMasks
from quantseg.data.heads.instances.yolo_seg import YoloSeg

INSTANCE_HEADS: Mapping[str, InstanceHead] = {
    "mask-rcnn": MaskRcnn(),
    "yolo-seg": YoloSeg(),
    "query-masks": QueryMasks(),
}
