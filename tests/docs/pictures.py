"""Draws docs/pictures/*.svg, from computed numbers: `python -m tests.docs.pictures [NAME …]`.

Pictures stand on light and dark pages, as files without a style sheet: they have a white ground of their own.
"""

import io
import itertools
import sys
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch, Rectangle

from tests.docs.pages import ROOT

FLOAT, INT8, WRONG, QUIET, PALE = "#0072b2", "#e69f00", "#c2185b", "#667080", "#e3e7ec"
PHASES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7")
LOWEST, HIGHEST = -(2**15), 2**15 - 1
STYLE: dict[Any, Any] = {
    "svg.fonttype": "path",  # the same on every machine
    "svg.hashsalt": "quantseg",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": QUIET,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
}


def rounded(x: Any, low: float, high: float, levels: int) -> tuple[Any, float, int]:
    """x on a grid of so many levels between low and high, its scale and its zero-point."""
    scale = (high - low) / (levels - 1)
    zero_point = round(-low / scale)
    integers = np.clip(np.round(x / scale) + zero_point, 0, levels - 1)
    return scale * (integers - zero_point), scale, zero_point


def grid(figure: Figure) -> None:
    """A curve, and the same on 16 levels."""
    left, right = figure.subplots(1, 2, width_ratios=(1.5, 1))
    x = np.linspace(0, 1, 600)
    curve = 1.1 * np.exp(-(((x - 0.3) / 0.13) ** 2)) + 2.35 * np.exp(-(((x - 0.72) / 0.1) ** 2)) - 0.35 * np.sin(6 * x)
    low, high, levels = -0.4, 1.85, 16
    on_grid, scale, zero_point = rounded(curve, low, high, levels)
    for level in range(levels):
        value = scale * (level - zero_point)
        left.axhline(value, color=QUIET if level == zero_point else PALE, linewidth=1, zorder=0)
        if level in (0, zero_point, levels - 1):
            left.text(1.015, value, f"integer {level}", va="center", color=QUIET, fontsize=9)
    left.plot(x, curve, color=FLOAT, label="float")
    left.plot(x, on_grid, color=INT8, label="on the grid")
    left.fill_between(x, on_grid, curve, where=curve > on_grid[0] * 0 + high + scale / 2, color=WRONG, alpha=0.25)
    left.annotate("clipped", (0.735, 1.99), (0.86, 2.12), color=WRONG, fontsize=9)
    left.set(xlim=(0, 1), xticks=[], ylabel="value", title="16 levels, of which one is exactly 0")
    left.legend(loc="upper left", frameon=False)
    inside = curve <= high
    error = (on_grid - curve)[inside] / scale
    right.plot(x[inside], error, ".", markersize=2, color=INT8)
    for side in (-0.5, 0.5):
        right.axhline(side, color=QUIET, linewidth=1, linestyle="--")
    right.set(xlim=(0, 1), xticks=[], ylim=(-0.8, 0.8), ylabel="steps", title="error inside the range: half a step")


def outlier(figure: Figure) -> None:
    """Values of one tensor, on the grid of all and on that of all but the largest."""
    values = np.abs(np.random.default_rng(1).normal(0, 0.5, 4000))
    top = float(values.max())
    for axes, high, what in zip(
        figure.subplots(2, 1, sharex=True), (top, 8 * top), ("without an outlier", "one outlier"), strict=True
    ):
        _, scale, _ = rounded(values, 0, high, 16)
        edges = (np.arange(17) - 0.5) * scale
        counts = np.histogram(values, edges)[0]
        used = int(np.count_nonzero(counts))
        title = f"{what}: {used} of 16 levels are used"
        axes.bar(np.arange(16) * scale, counts / counts.max(), width=scale * 0.9, color=INT8, alpha=0.75)
        axes.plot(values[:300], np.full(300, -0.12), "|", color=FLOAT, markersize=6)
        if high > top:
            axes.plot([high], [-0.12], "|", color=WRONG, markersize=12, markeredgewidth=2)
            axes.annotate("the outlier", (high, -0.1), (high, 0.25), ha="right", color=WRONG, fontsize=9)
        axes.set(yticks=[], ylim=(-0.25, 1.1))
        axes.set_title(title, fontsize=10)
    axes.set_xlabel("value; bars are the levels, by how many values round to them")


def saturation(figure: Figure) -> None:
    """Sums of two products with full-range and with safe weights, beside what 16 bits hold."""
    random = np.random.default_rng(3)
    axes = figure.subplots()
    pairs = random.integers(-128, 128, (60, 2))
    pairs[::3] = np.abs(pairs[::3])  # neighbours of one sign are what overflows
    activations = random.integers(120, 256, (60, 2))
    positive = np.clip(pairs, 0, None).sum(axis=1)
    negative = np.clip(-pairs, 0, None).sum(axis=1)
    factor = np.minimum(1.0, 128 / np.maximum(1, np.maximum(positive, negative)))
    safe = np.trunc(pairs * factor[:, None])
    for offset, weights, colour, name in ((0, pairs, WRONG, "full-range weights"), (62, safe, FLOAT, "safe weights")):
        sums = (activations * weights).sum(axis=1)
        held = np.clip(sums, LOWEST, HIGHEST)
        places = offset + np.arange(60)
        axes.bar(places, held, color=colour, alpha=0.8, width=0.8, label=name)
        axes.bar(
            places, sums - held, bottom=held, color="white", edgecolor=colour, linewidth=0.8, hatch="////", width=0.8
        )
    for limit in (LOWEST, HIGHEST):
        axes.axhline(limit, color=QUIET, linestyle="--", linewidth=1)
    axes.text(121.5, HIGHEST + 900, "32,767: all that 16 bits hold", ha="right", color=QUIET, fontsize=9)
    axes.text(30, 57000, "hatched: lost, without a word", ha="center", color=WRONG, fontsize=9)
    axes.set(xticks=[], ylabel="sum of two products", xlim=(-1, 122), ylim=(-66000, 66000))
    axes.legend(loc="lower right", frameon=False, ncols=2)


def conv_transpose(figure: Figure) -> None:
    """A kernel of 4 x 4 and an output, coloured by phase."""
    axes = figure.subplots()
    axes.set_aspect("equal")
    axes.axis("off")

    def squares(left: float, top: float, colours: Any, title: str, size: float = 1.0, marks: Any = None) -> None:
        rows, columns = len(colours), len(colours[0])
        for row in range(rows):
            for column in range(columns):
                place = (left + column * size, top - (row + 1) * size)
                axes.add_patch(
                    Rectangle(place, size, size, facecolor=colours[row][column], edgecolor="white", linewidth=1.5)
                )
                if marks is not None:
                    middle = (place[0] + size / 2, place[1] + size / 2)
                    axes.text(*middle, marks[row][column], ha="center", va="center", color="white", fontsize=8)
        axes.text(left + columns * size / 2, top + 0.35, title, ha="center", va="bottom", fontsize=9.5)

    def arrow(start: tuple[float, float], end: tuple[float, float]) -> None:
        axes.add_patch(FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=12, color=QUIET))

    phase = [[PHASES[(row % 2) * 2 + column % 2] for column in range(8)] for row in range(8)]
    names = [[f"{row}{column}" for column in range(4)] for row in range(4)]
    squares(0, 5.5, [line[:4] for line in phase[:4]], "kernel, 4 x 4", marks=names)
    arrow((4.4, 3.5), (5.8, 3.5))
    for index, colour in enumerate(PHASES):
        row, column = divmod(index, 2)
        taps = [[names[row + 2 * i][column + 2 * j] for j in range(2)] for i in range(2)]
        left, top = 6.3 + column * 2.7, 6.1 - row * 2.7
        squares(left, top, [[colour] * 2] * 2, "four kernels, 2 x 2" if index == 0 else "", marks=taps)
    arrow((11.5, 3.5), (12.9, 3.5))
    axes.text(12.2, 3.75, "Conv", ha="center", fontsize=9, color=QUIET)
    for index in reversed(range(4)):
        squares(13.5 + index * 0.55, 4.6 + index * 0.55, [[PHASES[index]] * 3] * 3, "", size=0.8)
    axes.text(15.6, 7.0, "four channels,\nas small as the input", ha="center", va="bottom", fontsize=9.5)
    arrow((18.0, 3.5), (20.2, 3.5))
    axes.text(19.1, 3.75, "DepthToSpace", ha="center", fontsize=9, color=QUIET)
    squares(20.8, 6.0, [line[:6] for line in phase[:6]], "output, twice as large", size=0.85)
    axes.set(xlim=(-0.3, 26.2), ylim=(0.2, 8.6))


def masks(figure: Figure) -> None:
    """Scores of two classes along a row of pixels, float and rounded."""
    axes = figure.subplots()
    x = np.arange(0, 240)
    first = 3.2 / (1 + np.exp(-(60 - x) / 5)) + 0.15 * np.sin(x / 6)
    second = 3.0 / (1 + np.exp(-(x - 62) / 5)) - 2.05 / (1 + np.exp(-(x - 140) / 4)) + 0.1 * np.sin(x / 9)
    first = first + 0.75 / (1 + np.exp(-(x - 140) / 4))
    step = 0.4
    rounded_second = np.round(second / step) * step
    rounded_first = np.round((first + 0.14) / step) * step
    axes.plot(x, first, color=FLOAT, label="class A, float")
    axes.plot(x, second, color="#009e73", label="class B, float")
    axes.plot(x, rounded_first, color=FLOAT, alpha=0.4, drawstyle="steps-mid", label="A, rounded")
    axes.plot(x, rounded_second, color="#009e73", alpha=0.4, drawstyle="steps-mid", label="B, rounded")
    before, after = first > second, rounded_first >= rounded_second
    bands = ((-0.9, before, "float mask"), (-1.35, after, "int8 mask"), (-1.8, before == after, "changed"))
    for bottom, of_a, name in bands:
        colours = (WRONG, PALE) if name == "changed" else ("#009e73", FLOAT)
        starts = [0, *(np.flatnonzero(np.diff(of_a)) + 1), len(x)]
        for start, end in itertools.pairwise(starts):
            colour = colours[int(of_a[start])]
            axes.add_patch(Rectangle((start, bottom), end - start, 0.35, facecolor=colour, linewidth=0))
        axes.text(-3, bottom + 0.17, name, ha="right", va="center", fontsize=9)
    remarks = (
        (25, "large margin:\nnothing happens"),
        (70, "a border: it moves\nby a pixel or two"),
        (192, "the model is unsure:\nwhole regions flip"),
    )
    for place, text in remarks:
        axes.text(place, 3.75, text, ha="center", va="bottom", fontsize=9, color=QUIET)
    axes.set(xlim=(0, 240), ylim=(-1.9, 4.6), xticks=[], yticks=[])
    axes.spines["left"].set_visible(False)
    axes.spines["bottom"].set_visible(False)
    axes.legend(loc="center right", bbox_to_anchor=(1.0, 0.66), frameon=False, fontsize=8.5, ncols=2)


def minimum_cut(figure: Figure) -> None:
    """A chain of nodes, two of them in float, and the conversions."""
    axes = figure.subplots()
    axes.axis("off")
    names = ("Conv", "Conv", "Concat", "Conv", "Softmax", "Mul", "Conv", "Resize")
    kinds = "8888ff88"
    times = ((9, 3), (8, 3), (2, 1), (9, 4), (2, 7), (1, 4), (7, 3), (3, 2))
    for place, (name, kind, (slow, fast)) in enumerate(zip(names, kinds, times, strict=True)):
        colour = INT8 if kind == "8" else FLOAT
        axes.add_patch(
            FancyBboxPatch((place * 2.2, 0), 1.5, 0.9, boxstyle="round,pad=0.05", facecolor=colour, linewidth=0)
        )
        axes.text(place * 2.2 + 0.75, 0.45, name, ha="center", va="center", color="white", fontsize=9)
        for height, value, own, label in ((-0.45, slow, FLOAT, "float"), (-0.85, fast, INT8, "int8")):
            weight = "bold" if own == colour else "normal"
            axes.text(
                place * 2.2 + 0.75, height, f"{label} {value} ms", ha="center", color=own, fontsize=8.5, weight=weight
            )
        if place:
            cut = kind != kinds[place - 1]
            axes.plot(
                [place * 2.2 - 0.62, place * 2.2 - 0.08], [0.45, 0.45], color=WRONG if cut else QUIET, linewidth=2
            )
            if cut:
                axes.plot([place * 2.2 - 0.35] * 2, [-0.1, 1.3], color=WRONG, linewidth=1.2, linestyle="--")
                axes.text(place * 2.2 - 0.35, 1.4, "conversion, 1 ms", ha="center", color=WRONG, fontsize=8.5)
    all_int8 = sum(fast for _, fast in times)
    chosen = sum(fast if kind == "8" else slow for (slow, fast), kind in zip(times, kinds, strict=True)) + 2
    text = f"all float {sum(slow for slow, _ in times)} ms, all int8 {all_int8} ms, as drawn {chosen} ms"
    axes.text(8.4, 1.95, text, ha="center", fontsize=10)
    axes.set(xlim=(-0.3, 17.3), ylim=(-1.1, 2.3))


PICTURES: Mapping[str, tuple[Callable[[Figure], None], float, float]] = {
    "grid": (grid, 9, 3.4),
    "outlier": (outlier, 9, 3.4),
    "saturation": (saturation, 9, 3.4),
    "conv_transpose": (conv_transpose, 9, 3.1),
    "masks": (masks, 9, 3.8),
    "minimum_cut": (minimum_cut, 9, 2.1),
}
"""What draws a picture, its width and height in inches."""


def draw(name: str) -> str:
    """The SVG of a picture; equal on every machine with the same matplotlib."""
    paint, width, height = PICTURES[name]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
        FigureCanvasSVG(figure)
        paint(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines()) + "\n"


def main(names: list[str]) -> None:
    for name in names or PICTURES:
        (ROOT / f"docs/pictures/{name}.svg").write_text(draw(name), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
