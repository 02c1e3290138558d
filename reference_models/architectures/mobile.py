"""A real-time network for phones: MobileNetV3 blocks (Howard et al., ICCV 2019, arXiv:1905.02244) under a decoder that
refines by depthwise convolutions with PReLU, as portrait networks do (SINet, Park et al., WACV 2020, arXiv:1911.09099).

Hard-swish, squeeze-and-excitation (arXiv:1709.01507) and PReLU (arXiv:1502.01852) have no integer kernel in most
runtimes: each tears a hole into an int8 model.
"""

from torch import Tensor, nn
from torch.nn import functional

from reference_models.architectures.blocks import enlarge


def _conv(
    channels_in: int, channels_out: int, kernel: int, activation: nn.Module, *, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        activation,
    )


class SqueezeExcite(nn.Module):
    """Each channel times a weight in 0…1 that the averages of all channels decide."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        narrow = channels // 4
        self.weigh = nn.Sequential(
            nn.Conv2d(channels, narrow, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(narrow, channels, kernel_size=1),
            nn.Hardsigmoid(),
        )

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to the same shape."""
        return features * self.weigh(functional.adaptive_avg_pool2d(features, 1))


class InvertedResidual(nn.Module):
    """Widen, filter depthwise, weigh the channels, narrow; hard-swish between."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, *, stride: int = 1) -> None:
        super().__init__()
        wide = 4 * channels_in
        self.layers = nn.Sequential(
            *_conv(channels_in, wide, 1, nn.Hardswish()),
            *_conv(wide, wide, kernel, nn.Hardswish(), stride=stride, groups=wide),
            SqueezeExcite(wide),
            *_conv(wide, channels_out, 1, nn.Identity())[:2],
        )
        self.shortcut = stride == 1 and channels_in == channels_out

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels_out, H / stride, W / stride)."""
        return self.layers(features) + features if self.shortcut else self.layers(features)


class Refine(nn.Module):
    """The coarser level, enlarged, plus the finer one; then a separable convolution with PReLU."""

    def __init__(self, coarse: int, fine: int, channels: int) -> None:
        super().__init__()
        self.coarse = _conv(coarse, channels, 1, nn.PReLU(channels))
        self.fine = _conv(fine, channels, 1, nn.PReLU(channels))
        self.filter = nn.Sequential(
            *_conv(channels, channels, 3, nn.PReLU(channels), groups=channels),
            *_conv(channels, channels, 1, nn.PReLU(channels)),
        )

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(N, coarse, H, W) and (N, fine, 2H, 2W) to (N, channels, 2H, 2W)."""
        return self.filter(enlarge(self.coarse(coarse), 2) + self.fine(fine))


class Mobile(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 32."""

    multiple = 32

    def __init__(self, classes: int) -> None:
        super().__init__()
        block = InvertedResidual
        self.stem = _conv(3, 16, 3, nn.Hardswish(), stride=2)
        self.quarter = nn.Sequential(block(16, 24, 3, stride=2), block(24, 24, 3))
        self.eighth = nn.Sequential(block(24, 40, 5, stride=2), block(40, 40, 5), block(40, 40, 5))
        self.sixteenth = nn.Sequential(block(40, 64, 5, stride=2), block(64, 64, 5), block(64, 64, 5))
        self.deepest = nn.Sequential(block(64, 96, 5, stride=2), block(96, 96, 5))
        self.refine = nn.ModuleList([Refine(96, 64, 64), Refine(64, 40, 48), Refine(48, 24, 40), Refine(40, 16, 32)])
        self.head = nn.ConvTranspose2d(32, classes, kernel_size=2, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        levels = [self.stem(image)]
        for stage in (self.quarter, self.eighth, self.sixteenth, self.deepest):
            levels.append(stage(levels[-1]))
        features = levels.pop()
        for refine in self.refine:
            features = refine(features, levels.pop())
        return self.head(features)
