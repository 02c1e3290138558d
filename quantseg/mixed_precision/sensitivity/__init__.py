"""Sensitivity: what each node of a plan loses when it alone is quantised, and what it gives back when it alone is not.

Source: Wu et al., "Integer Quantization for Deep Learning Inference", arXiv:2004.09602, on partial quantisation, finds
the layers to leave float by quantising one at a time. Here weights and activations are told apart, the node is also
left float alone, and the float model is the judge: no label is needed.
"""

from quantseg.mixed_precision.sensitivity.measuring import measure
from quantseg.mixed_precision.sensitivity.values import NOTHING_LOST, Loss, NodeSensitivity, Sensitivity

__all__ = ["NOTHING_LOST", "Loss", "NodeSensitivity", "Sensitivity", "measure"]
