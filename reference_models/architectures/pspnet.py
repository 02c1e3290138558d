"""PSPNet (Zhao et al., CVPR 2017, arXiv:1612.01105).

A dilated residual encoder at 1/8, averages over grids of 1, 2, 4 and 8 cells brought back by bilinear interpolation
and concatenated. The paper's grids are 1, 2, 3 and 6, which do not divide maps of 24 x 32: ONNX has no adaptive
pooling, so the cells must be equal.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from reference_models.architectures.blocks import conv_bn_relu, enlarge, residual_stage

GRIDS = (1, 2, 4, 8)


class PSPNet(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 64."""

    multiple = 64

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (32, 48, 80, 96)) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.encoder = nn.Sequential(
            conv_bn_relu(3, first, stride=2),
            residual_stage(first, second, stride=2),
            residual_stage(second, third, stride=2),
            residual_stage(third, fourth, stride=1, dilation=2),
        )
        narrow = fourth // len(GRIDS)
        self.pyramid = nn.ModuleList(conv_bn_relu(fourth, narrow, 1) for _ in GRIDS)
        self.mix = conv_bn_relu(2 * fourth, fourth)
        self.head = nn.Conv2d(fourth, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        features = self.encoder(image)
        size = features.shape[2:]
        levels = [features]
        for grid, narrow in zip(GRIDS, self.pyramid, strict=True):
            cells = narrow(functional.adaptive_avg_pool2d(features, grid))
            levels.append(functional.interpolate(cells, size=size, mode="bilinear", align_corners=False))
        return enlarge(self.head(self.mix(torch.cat(levels, dim=1))), 8)
