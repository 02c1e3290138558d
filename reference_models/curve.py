"""The course of a training as an image."""

from collections.abc import Sequence
from pathlib import Path

from quantseg.files import replacing
from reference_models.checkpoint import Epoch


def draw_curve(name: str, epochs: Sequence[Epoch], path: Path, *, measure: str = "mean IoU") -> None:
    """Loss and validation score by epoch, as PNG. measure: the score's name.

    Raises OutputError where the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 3.6), layout="constrained")
    left = figure.subplots()
    right = left.twinx()
    numbers = range(1, len(epochs) + 1)
    left.plot(numbers, [e.loss for e in epochs], color="#8a8f98", label="training loss")
    right.plot(numbers, [e.score for e in epochs], color="#0b6e99", linewidth=2, label=f"validation {measure}")
    best = max(numbers, key=lambda number: epochs[number - 1].score)
    reached = epochs[best - 1].score
    right.plot([best], [reached], "o", color="#0b6e99")
    right.annotate(
        f"{reached:.3f}, epoch {best}", (best, reached), xytext=(0, 9), textcoords="offset points", ha="center"
    )
    left.set(title=name, xlabel="epoch", ylabel="training loss", ylim=(0, None))
    right.set(ylabel=f"validation {measure}", ylim=(0, 1))
    figure.legend(handles=[*left.lines, right.lines[0]], loc="outside lower center", ncols=2, frameon=False)
    for axes in (left, right):
        axes.spines["top"].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=100, metadata={"Software": None})
