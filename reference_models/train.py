"""Training: AdamW under a schedule, the weights of the best epoch kept.

The same seed gives the same losses on the same machine with the same number of threads, also where a training was
interrupted and resumed: everything random in an epoch comes from the seed and the epoch's number.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from quantseg.data.recipe import Recipe
from quantseg.errors import DataError
from quantseg.progress import Track, quiet
from reference_models.checkpoint import Epoch, Progress
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


class Task(Protocol):
    """What is learned, and from which images: all in which the networks of the zoo differ."""

    @property
    def settings(self) -> Settings:
        """How it is trained."""

    @property
    def seed(self) -> int:
        """Of all that is random."""

    @property
    def device(self) -> torch.device:
        """Where it is trained, cpu or cuda."""

    @property
    def steps(self) -> int:
        """Steps of an epoch."""

    def batches(self, epoch: int) -> Iterator[Any]:
        """The batches of an epoch, the same ones for the same number."""

    def loss(self) -> Callable[[Any, Any], Tensor]:
        """The loss, a scalar, of a network and a batch."""

    def score(self, network: Any) -> float:
        """How well it does on images that training never sees, 0…1."""

    @property
    def recipe(self) -> Recipe:
        """How the exported model is read."""

    @property
    def digests(self) -> dict[str, str]:
        """Of the images of each split; empty for drawings."""

    @property
    def measure(self) -> str:
        """The name of the score."""

    def accuracy(self, network: Any) -> dict[str, Any]:
        """What the card says about its accuracy on the images that training never sees, computed in float32."""

    def prepared(self, count: int) -> list[Tensor]:
        """The first of these images, each (1, 3, H, W), as the network takes them."""


def fit(
    task: Task,
    build: Callable[[], nn.Module],
    *,
    resumed: Progress | None = None,
    after_epoch: Callable[[Progress], None] = lambda _: None,
    track: Track = quiet,
) -> tuple[nn.Module, Progress]:
    """The network in evaluation mode with the weights of its best epoch, and how it got there.

    Raises DataError where the loss is no number any more, or the checkpoint does not fit the network.
    """
    settings = task.settings
    torch.manual_seed(task.seed)
    # Channels last is the faster layout of convolutions on processors.
    network = build().to(task.device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    schedule = SCHEDULES[settings.schedule](optimizer, settings.learning_rate, task.steps * settings.epochs)
    progress = resumed or Progress({}, {}, {}, {})
    if resumed is not None:
        try:
            for state in (resumed.best, resumed.weights):
                network.load_state_dict(state)
            optimizer.load_state_dict(resumed.optimizer)
            schedule.load_state_dict(resumed.schedule)
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise DataError("the checkpoint is of another network; train without --resume") from error
    loss_of = task.loss()

    def step(batch: Any) -> float:
        value = loss_of(network, batch)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        schedule.step()
        return float(value.item())

    for number in range(len(progress.epochs), settings.epochs):
        started = time.process_time()
        torch.manual_seed((task.seed << 20) + number)
        network.train()
        best = max((e.score for e in progress.epochs), default=0.0)
        what = f"epoch {number + 1}/{settings.epochs}, best {best:.3f}"
        loss = float(np.mean([step(batch) for batch in track(task.batches(number), total=task.steps, what=what)]))
        if not np.isfinite(loss):
            raise DataError(
                f"epoch {number + 1}: the loss is no number; lower --learning-rate, or, where a batch may have no "
                "pixel that counts, raise --batch or --crop"
            )
        network.eval()
        score = task.score(network)
        seconds = round(time.process_time() - started, 2)
        weights = {key: value.cpu().clone() for key, value in network.state_dict().items()}
        progress = Progress(
            weights,
            optimizer.state_dict(),
            schedule.state_dict(),
            best=weights if score > best or not progress.best else progress.best,
            epochs=(*progress.epochs, Epoch(loss, score, schedule.get_last_lr()[0], seconds)),
        )
        after_epoch(progress)
    network.load_state_dict(progress.best)
    return network.eval(), progress
