"""SegNet (Badrinarayanan et al., TPAMI 2017, arXiv:1511.00561).

The decoder unpools each level to the places from which the encoder took its maxima: borders come back without a
skipped feature map. MaxPool with indices and MaxUnpool are operators that integer runtimes rarely have.
"""

from itertools import pairwise

from torch import Tensor, nn

from reference_models.architectures.blocks import conv_bn_relu, two_convolutions
from reference_models.architectures.unpooling import pool, unpool


class SegNet(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of `multiple`."""

    def __init__(self, classes: int, widths: tuple[int, ...] = (24, 48, 96, 128)) -> None:
        super().__init__()
        self.multiple = 2 ** len(widths)
        self.encoder = nn.ModuleList(two_convolutions(a, b) for a, b in pairwise((3, *widths)))
        narrowing = [*pairwise(reversed(widths)), (widths[0], widths[0])]
        self.decoder = nn.ModuleList(nn.Sequential(*conv_bn_relu(a, a), *conv_bn_relu(a, b)) for a, b in narrowing)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, features: Tensor) -> Tensor:
        """Logits of every pixel of an image."""
        places = []
        for level in self.encoder:
            features, indices = pool(level(features))
            places.append(indices)
        for level in self.decoder:
            features = level(unpool(features, places.pop()))
        return self.head(features)
