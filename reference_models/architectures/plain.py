"""Four convolutions down, two deconvolutions up, nothing beside them.

The plainest network that gives a mask for an image (deconvolution: Zeiler et al., CVPR 2010; for segmentation: Noh
et al., ICCV 2015, arXiv:1505.04366). Without skips its deconvolutions must invent every border, and their kernels are
larger than the stride, so that neighbouring outputs share inputs.
"""

from torch import Tensor, nn

from reference_models.architectures.blocks import conv_bn_relu


class Plain(nn.Module):
    """(N, 3, H, W) to (N, classes, H, W) logits; H and W are multiples of 8."""

    multiple = 8

    def __init__(self, classes: int, widths: tuple[int, int, int, int] = (32, 64, 96, 128)) -> None:
        super().__init__()
        first, second, third, fourth = widths
        self.convolutions = nn.Sequential(
            conv_bn_relu(3, first, 5, stride=2),
            conv_bn_relu(first, second, 5, stride=2),
            conv_bn_relu(second, third, 5, stride=2),
            conv_bn_relu(third, fourth, 5, dilation=2),
        )
        self.deconvolutions = nn.Sequential(
            nn.ConvTranspose2d(fourth, second, kernel_size=4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(second),
            nn.ReLU(),
            nn.ConvTranspose2d(second, classes, kernel_size=8, stride=4, padding=2),
        )

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel."""
        return self.deconvolutions(self.convolutions(image))
