"""Error sources: which rounded tensors, channels and weights carry the error of the masks, and what each of them lacks.

The unit is the risk (../risk/margins.py): the margin-weighted output error, about the share of the masks that changes.
"""

from quantseg.mixed_precision.error_sources.measuring import MOST, measure
from quantseg.mixed_precision.error_sources.statistics import LostBits
from quantseg.mixed_precision.error_sources.values import (
    ChannelError,
    ErrorSources,
    Growth,
    TensorError,
    WeightError,
)

__all__ = ["MOST", "ChannelError", "ErrorSources", "Growth", "LostBits", "TensorError", "WeightError", "measure"]
