"""The course of a training as an image."""

from collections.abc import Sequence
from pathlib import Path

from quantseg.files import replacing
from reference_models.checkpoint import Epoch


def draw_curve(name: str, epochs: Sequence[Epoch], path: Path) -> None:
    """Loss and validation mean IoU by epoch, as PNG. Raises OutputError where it cannot be written."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    numbers = range(1, len(epochs) + 1)
    left.plot(numbers, [e.loss for e in epochs], color="#8a8f98", label="training loss")
    right.plot(numbers, [e.mean_iou for e in epochs], color="#0b6e99", linewidth=2, label="validation mean IoU")
    best = max(numbers, key=lambda number: epochs[number - 1].mean_iou)
    reached = epochs[best - 1].mean_iou
    right.plot([best], [reached], "o", color="#0b6e99")
    right.annotate(
        f"{reached:.3f}, epoch {best}", (best, reached), xytext=(0, 9), textcoords="offset points", ha="center"
    )
    left.set(title=name, xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.set(ylabel="validation mean IoU", ylim=(0, 1))
    figure.legend(handles=[*left.lines, right.lines[0]], loc="outside lower center", ncols=2, frameon=False)
    for axes in (left, right):
        axes.spines["top"].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
