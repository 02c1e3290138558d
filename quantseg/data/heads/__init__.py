"""Output heads: from a model's outputs to the masks that metrics compare. A new one is a file here, a line in HEADS.

argmax       one channel per class: the class with the largest value
threshold    one channel: class 1 above the threshold, else class 0
multilabel   one channel per class: each class where its own channel is above the threshold
labels       the model's output is class ids

Heads of instances, which read several outputs, are in `instances`: mask-rcnn, yolo-seg, query-masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from quantseg.data.heads.argmax import Argmax
from quantseg.data.heads.head import Array, GraphOutput, Head, InstanceHead, Margins, OutputLoss
from quantseg.data.heads.instances import INSTANCE_HEADS
from quantseg.data.heads.instances.reading import NEEDS
from quantseg.data.heads.labels import Labels
from quantseg.data.heads.maps import can_be_map
from quantseg.data.heads.multilabel import Multilabel
from quantseg.data.heads.threshold import Threshold
from quantseg.data.values import InputRecipe, OutputRecipe, Recipe
from quantseg.errors import ModelError, RecipeError
from quantseg.graph import TensorSpec

__all__ = [
    "HEADS",
    "Array",
    "GraphOutput",
    "Head",
    "InstanceHead",
    "JudgedOutputs",
    "Margins",
    "OutputLoss",
    "class_map",
    "complete_output",
    "head_of",
    "judged_outputs",
]

HEADS: Mapping[str, Head] = {
    "argmax": Argmax(),
    "threshold": Threshold(),
    "multilabel": Multilabel(),
    "labels": Labels(),
    **INSTANCE_HEADS,
}


@dataclass(frozen=True)
class JudgedOutputs:
    """The outputs that are evaluated, and other outputs of the model that could be evaluated instead."""

    outputs: tuple[str, ...]
    others: tuple[str, ...]

    def to_json(self) -> str | list[str]:
        """The name of the output, or a list of names where the head reads several."""
        return self.outputs[0] if len(self.outputs) == 1 else list(self.outputs)

    @property
    def note(self) -> str:
        """A line for tables that says which output was evaluated; empty where there is no other choice."""
        names, others = (", ".join(map(repr, some)) for some in (self.outputs, self.others))
        return f"judged: output {names}, not {others}" if others else ""


def head_of(recipe: OutputRecipe) -> Head:
    """The head that a completed recipe names. Raises RecipeError where there is no such head."""
    if recipe.head is None or recipe.head not in HEADS:
        raise RecipeError(f"output.head: {recipe.head!r} is not allowed; give one of {', '.join(HEADS)}")
    return HEADS[recipe.head]


def complete_output(recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> OutputRecipe:
    """The recipe with every None resolved by its head, or without one by the head that recognises the outputs.

    given: the completed recipe of the input. Raises ModelError and RecipeError as `Head.complete` does.
    """
    if recipe.head is not None:
        return head_of(recipe).complete(recipe, outputs, given)
    return _recognised(recipe, outputs, given).complete(recipe, outputs, given)


def class_map(outputs: Sequence[Array], recipe: OutputRecipe) -> Array:
    """Masks of a batch: int64 (images, height, width), or bool (images, classes, height, width) where classes overlap.

    outputs: the arrays that the head reads. recipe: completed. Raises RecipeError where they do not fit each other.
    """
    return head_of(recipe).masks(outputs, recipe)


def judged_outputs(recipe: Recipe, specs: Sequence[TensorSpec]) -> JudgedOutputs:
    """Which of a model's outputs are evaluated. recipe: completed. specs: all outputs of the model."""
    names, size = head_of(recipe.output).outputs(recipe.output, specs), recipe.input.size
    assert size is not None
    others = (spec.name for spec in specs if spec.name not in names and can_be_map(spec, size))
    return JudgedOutputs(names, tuple(others))


def _recognised(recipe: OutputRecipe, outputs: Sequence[TensorSpec], given: InputRecipe) -> Head:
    """The head that recognises the outputs. Those of instances come first: one of their outputs may look like a map."""
    try:
        heads = (*INSTANCE_HEADS.values(), *HEADS.values())
        return next(head for head in heads if head.recognises(recipe, outputs, given))
    except ModelError as error:
        needs = "; ".join(f"{name}: {wanted}" for name, wanted in NEEDS.items())
        raise ModelError(f"{error}, or instances ({needs})") from error
