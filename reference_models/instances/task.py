"""What a network of instances learns, and its score: the average precision of its masks, as quantseg reads them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from quantseg.data.heads.instances import INSTANCE_HEADS
from quantseg.data.recipe import OutputRecipe, Recipe
from quantseg.evaluation.metrics.instances import LOWEST_SCORE
from quantseg.evaluation.metrics.instances.encoding import encoded
from quantseg.evaluation.metrics.instances.precision import AveragePrecision, JudgedImage, average_precision
from reference_models.instances.mask_rcnn_loss import mask_rcnn_loss
from reference_models.instances.objects import DrawnObjects, InstanceBatch, Objects
from reference_models.instances.yolo_loss import yolo_loss
from reference_models.masks import normalised
from reference_models.zoo import DataSet, Settings

LossOf = Callable[[Any, Tensor, list[Objects]], Tensor]


@dataclass(frozen=True)
class Kind:
    """A way to find instances. loss: of a network, images (N, 3, H, W) and their objects. output: how it is read."""

    loss: LossOf
    output: OutputRecipe


KINDS: Mapping[str, Kind] = {
    "yolo_seg": Kind(yolo_loss, OutputRecipe(name="pred", head="yolo-seg", nms_iou=0.7)),
    "mask_rcnn": Kind(mask_rcnn_loss, OutputRecipe(name="masks", head="mask-rcnn")),
}
"""Architecture → what it learns and how it is read."""


@dataclass(frozen=True)
class InstanceTask:
    """What stays the same through a training; a `Task`."""

    kind: Kind
    data: DataSet
    settings: Settings
    seed: int
    device: torch.device
    images: DrawnObjects
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def steps(self) -> int:
        """Steps of an epoch."""
        return len(self.images) // self.settings.batch

    def batches(self, epoch: int) -> Iterator[InstanceBatch]:
        """The batches of an epoch."""
        return self.images.epoch(epoch, batch=self.settings.batch, seed=self.seed)

    def loss(self) -> Callable[[nn.Module, InstanceBatch], Tensor]:
        """The loss of a network and a batch."""
        return lambda network, batch: self.kind.loss(network, self.tensors(batch[0]), batch[1])

    def score(self, network: nn.Module) -> float:
        """The average precision over the images that training never sees; 0 where nothing is found."""
        return self.precision(network).summary["ap"] or 0.0

    @property
    def recipe(self) -> Recipe:
        """How the exported model is read."""
        return Recipe(self.data.input, replace(self.kind.output, classes=self.data.classes, size=self.data.input.size))

    @property
    def measure(self) -> str:
        """The name of the score."""
        return "mask AP"

    def accuracy(self, network: nn.Module) -> dict[str, Any]:
        """Average precision of all and of each class."""
        found = self.precision(network)
        return {
            **{f"validation_{key}": found.summary[key] for key in ("ap", "ap50", "ap75", "ar100")},
            **{
                f"validation_{key}_by_class": dict(zip(self.data.classes, found.per_class[key], strict=True))
                for key in ("ap", "ap50")
            },
        }

    def prepared(self, count: int) -> list[Tensor]:
        """The first images that training never sees."""
        return [self.tensors(image[None]) for image, _ in islice(self.images.validation(), count)]

    def precision(self, network: nn.Module) -> AveragePrecision:
        """Average precision over the images that training never sees."""
        output = self.recipe.output
        assert output.size is not None
        judged = []
        for image, truth in self.images.validation():
            with torch.inference_mode():
                outputs = [tensor.numpy() for tensor in network(self.tensors(image[None]))]
            (found,) = INSTANCE_HEADS[str(output.head)].instances(outputs, output, LOWEST_SCORE)
            judged.append(JudgedImage(output.size, encoded(truth), encoded(found)))
        return average_precision(judged, len(self.data.classes))

    def tensors(self, images: NDArray[np.uint8]) -> Tensor:
        """Images (N, H, W, 3) as the network takes them, (N, 3, H, W)."""
        return normalised(torch.from_numpy(images).movedim(-1, 1).to(torch.float32), self.data.input)
