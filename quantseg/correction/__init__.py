"""Refinements on calibration images that need no training: ranges, clipped weights, corrected biases.

Each is a function from values to values and stands alone. Together: search_ranges, clip_weights, correct_biases, since
the last mends the means that the others shift. On the models that were measured clipping pays for weights of four bits
and hardly for eight.
"""

from quantseg.correction.bias import METHODS, correct_biases
from quantseg.correction.clipping import clip_weights
from quantseg.correction.compensation import compensate
from quantseg.correction.outliers import outliers
from quantseg.correction.ranges import search_ranges

__all__ = ["METHODS", "clip_weights", "compensate", "correct_biases", "outliers", "search_ranges"]
