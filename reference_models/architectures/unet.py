"""U-Net (Ronneberger et al., MICCAI 2015, arXiv:1505.04597).

Its decoder climbs with ConvTranspose2d, kernel 2 and stride 2, and joins the encoder by concatenation: the two things
that make quantising a U-Net interesting. Convolutions are padded, so that the mask has the size of the image.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn

from reference_models.architectures.blocks import two_convolutions


class UNet(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of `multiple`.

    widths: channels per level, finest first; the last is the bottleneck.
    """

    def __init__(self, classes: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.multiple = 2 ** (len(widths) - 1)
        self.encoder = nn.ModuleList(two_convolutions(a, b) for a, b in pairwise((3, *widths)))
        climb = list(pairwise(reversed(widths)))
        self.up = nn.ModuleList(nn.ConvTranspose2d(a, b, kernel_size=2, stride=2) for a, b in climb)
        self.decoder = nn.ModuleList(two_convolutions(2 * b, b) for _, b in climb)
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Conv2d(widths[0], classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        levels = [self.encoder[0](image)]
        for level in self.encoder[1:]:
            levels.append(level(self.pool(levels[-1])))
        features = levels.pop()
        for up, decoder in zip(self.up, self.decoder, strict=True):
            features = decoder(torch.cat([up(features), levels.pop()], dim=1))
        return self.head(features)
