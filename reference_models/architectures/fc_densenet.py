"""FC-DenseNet, the hundred-layer Tiramisu (Jégou et al., CVPR-W 2017, arXiv:1611.09326).

Every layer reads all that its block has made before: one tensor is concatenated many times, each time beside others,
and must have one scale with all of them. BatchNorm and ReLU stand before the convolution, so that they cannot be
folded into one. The first convolution takes a stride of 2 and the last ConvTranspose gives it back, for speed.
"""

import torch
from torch import Tensor, nn


class DenseBlock(nn.Module):
    """`layers` times: BatchNorm, ReLU, 3x3 convolution to `growth` channels, concatenated to the input."""

    def __init__(self, channels_in: int, layers: int, growth: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.BatchNorm2d(channels_in + index * growth),
                nn.ReLU(),
                nn.Conv2d(channels_in + index * growth, growth, kernel_size=3, padding=1, bias=False),
            )
            for index in range(layers)
        )
        self.grown = layers * growth

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """(N, C, H, W) to all maps (N, C + layers · growth, H, W), and those that the block added."""
        made = []
        for layer in self.layers:
            made.append(layer(features))
            features = torch.cat([features, made[-1]], dim=1)
        return features, torch.cat(made, dim=1)


def _narrow(channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, channels, kernel_size=1, bias=False), nn.MaxPool2d(2)
    )


class FCDenseNet(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of `multiple`."""

    def __init__(
        self, classes: int, layers: tuple[int, ...] = (3, 4, 4, 4), bottleneck: int = 5, growth: int = 14
    ) -> None:
        super().__init__()
        self.multiple = 2 ** (len(layers) + 1)
        channels = 32
        self.stem = nn.Conv2d(3, channels, kernel_size=3, stride=2, padding=1)
        self.down, self.narrow = nn.ModuleList(), nn.ModuleList()
        skips = []
        for count in layers:
            self.down.append(DenseBlock(channels, count, growth))
            channels += count * growth
            skips.append(channels)
            self.narrow.append(_narrow(channels))
        self.bottleneck = DenseBlock(channels, bottleneck, growth)
        self.climb, self.up = nn.ModuleList(), nn.ModuleList()
        made = self.bottleneck.grown
        for count, skip in zip(reversed(layers), reversed(skips), strict=True):
            self.climb.append(nn.ConvTranspose2d(made, made, kernel_size=3, stride=2, padding=1, output_padding=1))
            self.up.append(DenseBlock(made + skip, count, growth))
            channels, made = made + skip + count * growth, count * growth
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, 32, kernel_size=1),
            nn.ConvTranspose2d(32, classes, kernel_size=2, stride=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        features = self.stem(image)
        skips = []
        for block, narrow in zip(self.down, self.narrow, strict=True):
            features, _ = block(features)
            skips.append(features)
            features = narrow(features)
        _, made = self.bottleneck(features)
        for climb, block in zip(self.climb, self.up, strict=True):
            features, made = block(torch.cat([climb(made), skips.pop()], dim=1))
        return self.head(features)
