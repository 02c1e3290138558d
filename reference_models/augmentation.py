"""Changes to image and mask together, drawn anew for every step; kornia (arXiv:1910.02190) does the geometry."""

import warnings

import torch
from torch import Tensor, nn

from reference_models.losses import IGNORED

# What a car does to its camera: it leans a little, comes near, drifts.
_DEGREES, _SHIFT, _ZOOM, _SHEAR = 8.0, (0.1, 0.1), (0.8, 1.6), 6.0


class Augmentation(nn.Module):
    """Shift, rotate, zoom, shear, mirror, brightness, contrast, sometimes grey; then a random crop.

    Pixels that come from outside the image are ignored by the loss. Draws from torch's global generator.
    """

    def __init__(self, crop: tuple[int, int] | None) -> None:
        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # kornia imports parts of torch that are deprecated
            from kornia import augmentation as k
            from kornia.constants import DataKey, Resample

        together = [
            k.RandomHorizontalFlip(p=0.5),
            k.RandomAffine(_DEGREES, _SHIFT, _ZOOM, _SHEAR, p=0.9),
            k.RandomBrightness((0.75, 1.25), p=0.5),
            k.RandomContrast((0.7, 1.3), p=0.5),
            k.RandomGrayscale(p=0.1),
        ]
        if crop is not None:
            together.append(k.RandomCrop(crop))
        self.sequence = k.AugmentationSequential(
            *together,
            data_keys=["input", "mask"],
            extra_args={DataKey.MASK: {"resample": Resample.NEAREST, "align_corners": False}},
        )

    @torch.no_grad()
    def forward(self, images: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """(N, 3, H, W) in 0…1 and ids (N, H, W) int64, to the same, cropped."""
        # Outside the image kornia puts zero, so zero has to mean: no class.
        planes = (masks + 1).clamp(min=0)[:, None].to(images.dtype)
        images, planes = self.sequence(images, planes)
        ids = planes[:, 0].round().to(torch.int64) - 1
        return images, ids.where(ids >= 0, IGNORED)
