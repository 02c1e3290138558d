"""Segmentation networks of every kind that people ship, each from its paper, scaled to at most 1.2 million parameters.

All take (N, 3, H, W) and have an attribute `multiple`: H and W must be multiples of it. They give logits
(N, classes, H, W); those that find instances have several outputs, which their attribute `outputs` names. A new one is
a module and a line in ARCHITECTURES.
"""

from collections.abc import Callable, Mapping

from torch import nn

from reference_models.architectures.deeplabv3plus import DeepLabV3Plus
from reference_models.architectures.fc_densenet import FCDenseNet
from reference_models.architectures.fcn8s import FCN8s
from reference_models.architectures.fpn import FPN
from reference_models.architectures.linknet import LinkNet
from reference_models.architectures.mask_rcnn import MaskRCNN
from reference_models.architectures.mobile import Mobile
from reference_models.architectures.plain import Plain
from reference_models.architectures.pspnet import PSPNet
from reference_models.architectures.segnet import SegNet
from reference_models.architectures.unet import UNet
from reference_models.architectures.unet_bilinear import UNetBilinear
from reference_models.architectures.yolo_seg import YoloSeg

ARCHITECTURES: Mapping[str, Callable[[int], nn.Module]] = {
    "plain": Plain,
    "unet": lambda classes: UNet(classes, widths=(16, 32, 64, 96, 128)),
    "unet_bilinear": UNetBilinear,
    "segnet": SegNet,
    "linknet": LinkNet,
    "fcn8s": FCN8s,
    "pspnet": PSPNet,
    "fpn": FPN,
    "deeplabv3plus": DeepLabV3Plus,
    "fc_densenet": FCDenseNet,
    "mobile": Mobile,
    "wbc_unet": lambda classes: UNet(classes, widths=(16, 32, 64, 96)),
    "cells_unet": lambda classes: UNet(classes, widths=(16, 32, 64, 96)),
    "yolo_seg": YoloSeg,
    "mask_rcnn": MaskRCNN,
}
"""Name → network for a number of classes."""
