"""Sensitivity analysis: the loss when a node alone is quantised, and the gain when it alone is left float.

Source: Wu et al., "Integer Quantization for Deep Learning Inference", arXiv:2004.09602, on partial quantisation: it
finds the layers to leave float by quantising one at a time. Here weights and activations are also measured apart, and
the loss is measured against the float model's outputs, so no labels are needed.
"""

from quantseg.mixed_precision.sensitivity.measuring import measure
from quantseg.mixed_precision.sensitivity.values import NOTHING_LOST, Loss, NodeSensitivity, Sensitivity

__all__ = ["NOTHING_LOST", "Loss", "NodeSensitivity", "Sensitivity", "measure"]
