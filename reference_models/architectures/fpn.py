"""A feature pyramid network for masks (Lin et al., CVPR 2017, arXiv:1612.03144; Kirillov et al., CVPR 2019,
arXiv:1901.02446).

Top-down, nearest upsampling and Add; then every level climbs to 1/4 by convolutions and bilinear interpolation, and
their sum is read. Sums of tensors with different ranges are what integers find hard here.
"""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from reference_models.architectures.blocks import conv_bn_relu, enlarge, residual_stage


class _Enlarge(nn.Module):
    def forward(self, features: Tensor) -> Tensor:
        return enlarge(features, 2)


def _climb(channels_in: int, channels_out: int, steps: int) -> nn.Sequential:
    """A 3x3 convolution and a doubling for each step; at least one convolution."""
    layers: list[nn.Module] = []
    for index in range(max(steps, 1)):
        layers += conv_bn_relu(channels_in if index == 0 else channels_out, channels_out)
        if steps:
            layers.append(_Enlarge())
    return nn.Sequential(*layers)


class FPN(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 32."""

    multiple = 32

    def __init__(
        self,
        classes: int,
        widths: tuple[int, int, int, int] = (32, 48, 80, 112),
        pyramid: int = 64,
        semantic: int = 48,
    ) -> None:
        super().__init__()
        self.stem = conv_bn_relu(3, 24, stride=2)
        self.encoder = nn.ModuleList(residual_stage(a, b, stride=2) for a, b in pairwise((24, *widths)))
        self.lateral = nn.ModuleList(nn.Conv2d(width, pyramid, kernel_size=1) for width in widths)
        self.climb = nn.ModuleList(_climb(pyramid, semantic, steps) for steps in range(len(widths)))
        self.head = nn.Conv2d(semantic, classes, kernel_size=1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        levels = []
        features = self.stem(image)
        for stage in self.encoder:
            features = stage(features)
            levels.append(features)
        top = self.lateral[-1](levels[-1])
        total = self.climb[-1](top)
        for level, lateral, climb in list(zip(levels, self.lateral, self.climb, strict=True))[-2::-1]:
            top = functional.interpolate(top, scale_factor=2.0, mode="nearest") + lateral(level)
            total = total + climb(top)
        return enlarge(self.head(total), 4)
