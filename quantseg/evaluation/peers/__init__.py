"""Other quantizers, at settings like ours, to stand beside in a comparison: one module each.

A peer writes a model file from a float model and the inputs that ours is calibrated on, and raises PeerError
where it cannot.
"""

from quantseg.errors import PeerError
from quantseg.evaluation.peers.nncf import quantize_with_nncf
from quantseg.evaluation.peers.onnxruntime import CALIBRATORS, FORMATS, TYPES, PeerSettings, quantize_with_onnxruntime

__all__ = [
    "CALIBRATORS",
    "FORMATS",
    "TYPES",
    "PeerError",
    "PeerSettings",
    "quantize_with_nncf",
    "quantize_with_onnxruntime",
]
