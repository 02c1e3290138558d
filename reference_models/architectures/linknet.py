"""LinkNet (Chaurasia and Culurciello, VCIP 2017, arXiv:1707.03718).

A residual encoder; each decoder block narrows by a 1x1 convolution, climbs by a ConvTranspose2d of kernel 3 and
stride 2, whose windows overlap, and adds the encoder's level.
"""

from itertools import pairwise

from torch import Tensor, nn

from reference_models.architectures.blocks import conv_bn_relu, residual_stage


def _climb(channels_in: int, channels_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose2d(channels_in, channels_out, kernel_size=3, stride=2, padding=1, output_padding=1, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def _decoder(channels_in: int, channels_out: int) -> nn.Sequential:
    narrow = channels_in // 2
    return nn.Sequential(
        *conv_bn_relu(channels_in, narrow, 1), *_climb(narrow, narrow), *conv_bn_relu(narrow, channels_out, 1)
    )


class LinkNet(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 32."""

    multiple = 32

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (32, 48, 72, 112)) -> None:
        super().__init__()
        self.stem = nn.Sequential(*conv_bn_relu(3, widths[0], 7, stride=2), nn.MaxPool2d(3, stride=2, padding=1))
        strides = (1, 2, 2, 2)
        pairs = pairwise((widths[0], *widths))
        self.encoder = nn.ModuleList(residual_stage(a, b, stride=s) for (a, b), s in zip(pairs, strides, strict=True))
        self.decoder = nn.ModuleList(_decoder(a, b) for a, b in pairwise(reversed(widths)))
        self.head = nn.Sequential(
            *_decoder(widths[0], widths[0]),
            *conv_bn_relu(widths[0], widths[0]),
            nn.ConvTranspose2d(widths[0], classes, kernel_size=2, stride=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        levels = []
        features = self.stem(image)
        for stage in self.encoder:
            features = stage(features)
            levels.append(features)
        levels.pop()
        for decoder in self.decoder:
            features = decoder(features) + levels.pop()
        return self.head(features)
