"""Small detectors of instances with drawn weights, in the forms that exporters write."""

from tests.support.detectors.queries import query_masks
from tests.support.detectors.regions import mask_rcnn
from tests.support.detectors.yolo import yolo_of_anchors, yolo_seg

__all__ = ["mask_rcnn", "query_masks", "yolo_of_anchors", "yolo_seg"]
