"""Other quantizers (peers) for the tool comparison, at settings like ours: one module each.

A peer writes a quantised model file, given the float model and our calibration inputs. Raises PeerError where it
cannot.
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
