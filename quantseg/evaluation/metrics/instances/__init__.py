"""Metrics of instances: matching of two models' instances one to one, and COCO's average precision and recall.

Masks are matched where they are (matching.py) and kept as run lengths (encoding.py), so a set is scored in one pass:
what an image adds is small, and joining the images' parts gives the same as scoring them together.
"""

LOWEST_SCORE = 0.001
"""Detections with a higher score count for average precision: it asks for the whole curve, not for one threshold."""
MOST_DETECTIONS = 100
"""Detections of one image that count for average precision: COCO's maxDets."""
LOOSE, TIGHT = MATCHES = (0.5, 0.9)
"""Mask IoU at or above which two instances are the same; at TIGHT they also have the same outline."""
