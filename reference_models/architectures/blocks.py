"""What several networks are made of."""

from torch import Tensor, nn
from torch.nn import functional


def conv_bn_relu(
    channels_in: int, channels_out: int, kernel: int = 3, *, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution with padding that keeps the size (at stride 1), BatchNorm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(
            channels_in,
            channels_out,
            kernel,
            stride=stride,
            padding=dilation * (kernel // 2),
            dilation=dilation,
            bias=False,
        ),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(),
    )


def two_convolutions(channels_in: int, channels_out: int) -> nn.Sequential:
    """Two 3x3 convolutions, each with BatchNorm and ReLU, as VGG stacks them (arXiv:1409.1556)."""
    return nn.Sequential(*conv_bn_relu(channels_in, channels_out), *conv_bn_relu(channels_out, channels_out))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al., CVPR 2016, arXiv:1512.03385)."""

    def __init__(self, channels_in: int, channels_out: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.first = conv_bn_relu(channels_in, channels_out, stride=stride, dilation=dilation)
        self.second = conv_bn_relu(channels_out, channels_out, dilation=dilation)[:2]
        same = stride == 1 and channels_in == channels_out
        self.shortcut = nn.Identity() if same else conv_bn_relu(channels_in, channels_out, 1, stride=stride)[:2]
        self.relu = nn.ReLU()

    def forward(self, features: Tensor) -> Tensor:
        """(N, C, H, W) to (N, channels_out, H / stride, W / stride)."""
        return self.relu(self.second(self.first(features)) + self.shortcut(features))


def residual_stage(channels_in: int, channels_out: int, *, stride: int, dilation: int = 1) -> nn.Sequential:
    """Two basic blocks, the first of which takes the stride."""
    return nn.Sequential(
        BasicBlock(channels_in, channels_out, stride=stride, dilation=dilation),
        BasicBlock(channels_out, channels_out, dilation=dilation),
    )


def enlarge(features: Tensor, factor: int) -> Tensor:
    """Bilinear upsampling by a whole factor, corners not aligned."""
    return functional.interpolate(features, scale_factor=factor, mode="bilinear", align_corners=False)
