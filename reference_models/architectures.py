"""The models that can be trained: each row names its network, its pictures and its recipe."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import nn

from quantseg.data import cells
from quantseg.recipe import InputRecipe, OutputRecipe, Recipe
from reference_models.cells_unet import CellsUNet

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@dataclass(frozen=True)
class Architecture:
    """build: an untrained network. draw: picture k of a size, RGB (H, W, 3), and its mask (H, W).

    crop: height and width to train at; smaller than the recipe's size, for speed.
    """

    build: Callable[[], nn.Module]
    draw: Callable[[int, tuple[int, int]], Sample]
    recipe: Recipe
    crop: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the exported model's input: the recipe's, or those of training."""
        return self.recipe.input.size or self.crop


ARCHITECTURES = {
    "cells_unet": Architecture(
        build=lambda: CellsUNet(classes=len(cells.CLASSES)),
        draw=cells.cell_image,
        recipe=Recipe(
            InputRecipe(
                size=(192, 192),
                layout="NCHW",
                channels="RGB",
                mean=(0.85, 0.76, 0.77),
                std=(0.11, 0.15, 0.11),
            ),
            OutputRecipe(name="logits", layout="NCHW", head="argmax", classes=cells.CLASSES),
        ),
        crop=(96, 96),
    ),
}
