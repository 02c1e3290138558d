"""Training: AdamW under a schedule, the weights of the best epoch kept.

The same seed gives the same losses on the same machine with the same number of threads, also where a training was
interrupted and resumed: everything random in an epoch comes from the seed and the epoch's number.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quantseg.data.recipe import InputRecipe
from quantseg.errors import DataError
from quantseg.evaluation.metrics.confusion import ConfusionMatrix
from quantseg.progress import Track, quiet
from reference_models.augmentation import Augmentation
from reference_models.checkpoint import Epoch, Progress
from reference_models.images import Batch, Images
from reference_models.losses import IGNORED, class_weights, parse_loss
from reference_models.zoo import Settings

PRECISIONS: Mapping[str, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}

Scheduler = Callable[[torch.optim.Optimizer, float, int], torch.optim.lr_scheduler.LRScheduler]
SCHEDULES: Mapping[str, Scheduler] = {
    # Smith and Topin, arXiv:1708.07120
    "one-cycle": lambda optimizer, rate, steps: torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps),
    # Chen et al., arXiv:1606.00915
    "poly": lambda optimizer, _, steps: torch.optim.lr_scheduler.PolynomialLR(optimizer, steps, power=0.9),
}
"""Name → learning rate over the steps of a training, out of its highest value."""


@dataclass(frozen=True)
class Trainer:
    """What stays the same through a training. device: cpu or cuda."""

    images: Images
    input: InputRecipe
    settings: Settings
    seed: int
    device: torch.device

    def train(
        self,
        build: Callable[[int], nn.Module],
        *,
        resumed: Progress | None = None,
        after_epoch: Callable[[Progress], None] = lambda _: None,
        track: Track = quiet,
    ) -> tuple[nn.Module, Progress]:
        """The network in evaluation mode with the weights of its best epoch, and how it got there.

        Raises DataError where the loss is no number any more, or the checkpoint does not fit the network.
        """
        settings = self.settings
        torch.manual_seed(self.seed)
        # Channels last is the faster layout of convolutions on processors.
        network = build(len(self.images.classes)).to(self.device, memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
        )
        steps = len(self.images) // settings.batch
        schedule = SCHEDULES[settings.schedule](optimizer, settings.learning_rate, steps * settings.epochs)
        progress = resumed or Progress({}, {}, {}, {})
        if resumed is not None:
            try:
                for state in (resumed.best, resumed.weights):
                    network.load_state_dict(state)
                optimizer.load_state_dict(resumed.optimizer)
                schedule.load_state_dict(resumed.schedule)
            except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
                raise DataError("the checkpoint is of another network; train without --resume") from error
        step = self._stepper(network, optimizer, schedule)
        for number in range(len(progress.epochs), settings.epochs):
            started = time.perf_counter()
            torch.manual_seed((self.seed << 20) + number)
            network.train()
            best = max((e.mean_iou for e in progress.epochs), default=0.0)
            batches = self.images.epoch(number, batch=settings.batch, seed=self.seed)
            shown = track(batches, total=steps, what=f"epoch {number + 1}/{settings.epochs}, best {best:.3f}")
            loss = float(np.mean([step(batch) for batch in shown]))
            if not np.isfinite(loss):
                raise DataError(
                    f"epoch {number + 1}: the loss is no number; lower --learning-rate, or, where a batch may have no "
                    "pixel that counts, raise --batch or --crop"
                )
            iou = self.validate(network).mean_iou()
            seconds = round(time.perf_counter() - started, 2)
            weights = {key: value.cpu().clone() for key, value in network.state_dict().items()}
            progress = Progress(
                weights,
                optimizer.state_dict(),
                schedule.state_dict(),
                best=weights if iou > best or not progress.best else progress.best,
                epochs=(*progress.epochs, Epoch(loss, iou, schedule.get_last_lr()[0], seconds)),
            )
            after_epoch(progress)
        network.load_state_dict(progress.best)
        return network.eval(), progress

    def _stepper(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: torch.optim.lr_scheduler.LRScheduler,
    ) -> Callable[[Batch], float]:
        """One step of training on a batch; it returns the loss."""
        settings = self.settings
        weights = class_weights(torch.from_numpy(self.images.class_pixels())) if settings.class_weights else None
        loss = parse_loss(settings.loss, None if weights is None else weights.to(self.device))
        augment = Augmentation(settings.crop) if settings.augment else None

        def step(batch: Batch) -> float:
            images, target = self.tensors(batch, augment)
            with self.autocast():
                logits = network(images)
            value = loss(logits, target)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            schedule.step()
            return float(value.item())

        return step

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
        mean, std = (torch.tensor(v, device=self.device)[:, None, None] for v in (self.input.mean, self.input.std))
        images = (images * self.input.scale - mean) / std
        return images.contiguous(memory_format=torch.channels_last), target

    def autocast(self, *, enabled: bool = True) -> torch.autocast:
        """The context in which convolutions take the settings' precision."""
        dtype = PRECISIONS[self.settings.precision]
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled and dtype is torch.bfloat16)


def _mask(target: Tensor) -> NDArray[np.int64]:
    mask: NDArray[np.int64] = target[0].cpu().numpy()
    return mask
