"""U-Net (arXiv:1505.04597) whose decoder climbs by bilinear interpolation, as many implementations have it.

Interpolation by a whole factor is a fixed convolution (Odena et al., Distill 2016, on why it leaves no checkerboard).
The encoder's levels are concatenated as they are; the convolutions behind mix them.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from reference_models.architectures.blocks import enlarge, two_convolutions


class UNetBilinear(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of `multiple`."""

    def __init__(self, classes: int, widths: tuple[int, ...] = (16, 32, 64, 96, 128)) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.encoder = nn.ModuleList(two_convolutions(a, b) for a, b in pairwise((3, *widths)))
        self.decoder = nn.ModuleList(two_convolutions(a + b, b) for a, b in pairwise(reversed(widths)))
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        levels = [self.encoder[0](image)]
        for level in self.encoder[1:]:
            levels.append(level(self.pool(levels[-1])))
        features = levels.pop()
        for decoder in self.decoder:
            features = decoder(torch.cat([enlarge(features, 2), levels.pop()], dim=1))
        return self.head(features)
