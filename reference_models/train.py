"""Training: pictures are drawn as they are needed, so no two steps see the same one."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from quantseg.metrics.confusion import ConfusionMatrix
from quantseg.progress import Track, quiet
from quantseg.recipe import Recipe
from reference_models.architectures import Architecture, Sample
from reference_models.losses import segmentation_loss

BATCH = 16
STEPS_PER_EPOCH = 50
_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 1e-4
# Pictures are numbered: the demo and the tests draw from 0, validation and training from far above.
_VALIDATION_FIRST = 1_000_000
_TRAINING_FIRST = 10_000_000


def train(
    architecture: Architecture, *, steps: int, seed: int, batch: int = BATCH, track: Track = quiet
) -> tuple[nn.Module, list[float]]:
    """A trained network in evaluation mode, and the loss of every step.

    AdamW under a one-cycle learning rate (Smith and Topin, arXiv:1708.07120). The same seed gives the same
    losses on the same machine with the same number of threads.
    """
    torch.manual_seed(seed)
    # Channels last is the faster layout of convolutions on processors.
    network = architecture.build().to(memory_format=torch.channels_last).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=_LEARNING_RATE, total_steps=steps)
    first = _TRAINING_FIRST * (1 + seed)
    losses = []
    for step in track(range(steps), total=steps, what="training"):
        numbers = range(first + step * batch, first + (step + 1) * batch)
        samples = (architecture.draw(k, architecture.crop) for k in numbers)
        images, target = tensors(samples, architecture.recipe)
        loss = segmentation_loss(network(images), target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return network.eval(), losses


def validate(
    network: nn.Module, architecture: Architecture, *, pictures: int = 64, track: Track = quiet
) -> ConfusionMatrix:
    """Counts over pictures that training never draws, at the size of the exported model."""
    total = ConfusionMatrix.empty(len(architecture.recipe.output.classes))
    for index in track(range(pictures), total=pictures, what="validation"):
        picture, mask = architecture.draw(_VALIDATION_FIRST + index, architecture.size)
        images, _ = tensors([(picture, mask)], architecture.recipe)
        with torch.inference_mode():
            predicted = network(images).argmax(dim=1)[0].numpy()
        total += ConfusionMatrix.from_masks(mask, predicted, len(total.counts))
    return total


def tensors(samples: Iterable[Sample], recipe: Recipe) -> tuple[Tensor, Tensor]:
    """A batch: images (N, 3, H, W) float32, prepared as the recipe says, and class ids (N, H, W) int64."""
    images, masks = zip(*samples, strict=True)
    pixels = torch.from_numpy(np.stack(images)).to(torch.float32)
    mean, std = torch.tensor(recipe.input.mean), torch.tensor(recipe.input.std)
    normalised = (pixels * recipe.input.scale - mean) / std
    return normalised.movedim(-1, 1), torch.from_numpy(np.stack(masks)).to(torch.int64)
