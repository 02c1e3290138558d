"""What a network of one mask learns: a class for every pixel, scored by mean IoU."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quantseg.data.recipe import InputRecipe, OutputRecipe, Recipe
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from reference_models.augmentation import Augmentation
from reference_models.images import Batch, Images
from reference_models.losses import IGNORED, class_weights, parse_loss
from reference_models.train import PRECISIONS
from reference_models.zoo import Settings


@dataclass(frozen=True)
class MaskTask:
    """What stays the same through a training; a `Task`. device: cpu or cuda."""

    images: Images
    input: InputRecipe
    settings: Settings
    seed: int
    device: torch.device

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.images) // self.settings.batch

    def batches(self, epoch: int) -> Iterator[Batch]:
        """The batches of an epoch."""
        return self.images.epoch(epoch, batch=self.settings.batch, seed=self.seed)

    def loss(self) -> Callable[[nn.Module, Batch], Tensor]:
        """The settings' loss of a network and a batch, which is changed at random first where they say so."""
        settings = self.settings
        weights = class_weights(torch.from_numpy(self.images.class_pixels())) if settings.class_weights else None
        loss = parse_loss(settings.loss, None if weights is None else weights.to(self.device))
        augment = Augmentation(settings.crop) if settings.augment else None

        def loss_of(network: nn.Module, batch: Batch) -> Tensor:
            images, target = self.tensors(batch, augment)
            with self.autocast():
                logits = network(images)
            return loss(logits, target)

        return loss_of

    def score(self, network: nn.Module) -> float:
        """The mean IoU over the images that training never sees."""
        return self.validate(network).mean_iou()

    @property
    def recipe(self) -> Recipe:
        """How the exported model is read."""
        output = OutputRecipe(
            name="logits",
            layout="NCHW",
            head="argmax",
            classes=self.images.classes,
            ignore_index=self.images.ignore_index,
        )
        return Recipe(self.input, output)

    @property
    def digests(self) -> dict[str, str]:
        """Of the images of each split."""
        return self.images.digests

    @property
    def measure(self) -> str:
        """The name of the score."""
        return "mean IoU"

    def accuracy(self, network: nn.Module) -> dict[str, Any]:
        """Mean IoU and IoU of each class, in float32, as the exported model computes."""
        counts = self.validate(network, exact=True)
        return {
            "validation_mean_iou": counts.mean_iou(),
            "validation_iou": dict(zip(self.images.classes, counts.iou(), strict=True)),
        }

    def prepared(self, count: int) -> list[Tensor]:
        """The first images that training never sees."""
        return [self.tensors(batch, None)[0].cpu() for batch in islice(self.images.validation(), count)]

    def validate(self, network: nn.Module, *, exact: bool = False) -> ConfusionMatrix:
        """Counts over the images that training never sees. exact: in float32, as the exported model computes."""
        network.eval()
        classes = len(self.images.classes)
        total = ConfusionMatrix.empty(classes)
        for batch in self.images.validation():
            images, target = self.tensors(batch, None)
            with torch.inference_mode(), self.autocast(enabled=not exact):
                predicted = network(images).argmax(dim=1)[0].cpu().numpy()
            total += ConfusionMatrix.from_masks(_mask(target), predicted, classes, ignore_index=IGNORED)
        return total

    def tensors(self, batch: Batch, augment: Augmentation | None) -> tuple[Tensor, Tensor]:
        """Images (N, 3, H, W) float32, prepared as the recipe says, and ids (N, H, W) int64, IGNORED where none."""
        images, masks = (torch.from_numpy(part).to(self.device) for part in batch)
        images = images.movedim(-1, 1).to(torch.float32)
        ignored = self.images.ignore_index
        target = masks if ignored is None else masks.where(masks != ignored, IGNORED)
        if augment is not None:
            images, target = augment(images / 255, target)
            images = images * 255
        return normalised(images, self.input), target

    def autocast(self, *, enabled: bool = True) -> torch.autocast:
        """The context in which convolutions take the settings' precision."""
        dtype = PRECISIONS[self.settings.precision]
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled and dtype is torch.bfloat16)


def normalised(images: Tensor, given: InputRecipe) -> Tensor:
    """Images (N, 3, H, W) in 0…255 as the recipe of the input says, channels last in memory."""
    mean, std = (torch.tensor(v, device=images.device)[:, None, None] for v in (given.mean, given.std))
    return ((images * given.scale - mean) / std).contiguous(memory_format=torch.channels_last)


def _mask(target: Tensor) -> NDArray[np.int64]:
    mask: NDArray[np.int64] = target[0].cpu().numpy()
    return mask
