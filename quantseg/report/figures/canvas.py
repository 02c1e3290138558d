"""Draws with matplotlib's object interface, as SVG that takes its colours and font from the HTML page.

Colours are drawn as placeholders and replaced by CSS variables, so that one figure serves light and dark pages. Text is
kept as text, not as paths; names go through `shortened` or `telling`, which make them printable. Ids come from a fixed
salt and no date is written, so equal drawings give equal bytes.
"""

import io
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any, TypeAlias

from quantseg.errors import printable
from quantseg.report.document import Figure

if TYPE_CHECKING:
    import matplotlib.axes

Axes: TypeAlias = "matplotlib.axes.Axes"

INK = "#010101"
QUIET = "#020202"
FLOAT_COLOUR = "#030303"
INT8_COLOUR = "#040404"
WARNING = "#050505"
FAINT = "#060606"
MIXED = "#070707"
PAPER = "#080808"
_VARIABLES = {
    INK: "var(--ink)",
    QUIET: "var(--quiet)",
    FLOAT_COLOUR: "var(--float)",
    INT8_COLOUR: "var(--int8)",
    WARNING: "var(--warning)",
    FAINT: "var(--line)",
    MIXED: "var(--mixed)",
    PAPER: "var(--paper)",
}
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # tensor names may contain $
    "svg.hashsalt": "quantseg",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": QUIET,
    "axes.edgecolor": FAINT,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "xtick.labelcolor": QUIET,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "ytick.left": False,
    "grid.color": FAINT,
    "axes.axisbelow": True,
}


NARROW = 3.5
"""Inches of a figure for a phone: there its text is as large as the page's."""


def draw(paint: Callable[[Axes], None], *, height: float, caption: str, alt: str, width: float = 7.2) -> Figure:
    """A figure of width x height inches, drawn by `paint` on new axes; the SVG is to be inlined in an HTML page.

    It is drawn again NARROW inches wide: `paint` asks is_narrow what there is room for.
    """
    wide, narrow = (
        draw_row([paint], height=height, caption=caption, alt=alt, width=inches) for inches in (width, NARROW)
    )
    return replace(wide, narrow=narrow.svg)


def is_narrow(axes: Axes) -> bool:
    """Whether the axes are those of a figure for a phone."""
    from matplotlib.figure import Figure as Drawing

    return isinstance(axes.figure, Drawing) and bool(axes.figure.get_size_inches()[0] <= NARROW)


def draw_row(
    paints: Sequence[Callable[[Axes], None]], *, height: float, caption: str, alt: str, width: float = 7.2
) -> Figure:
    """Panels side by side that share the y axis, each drawn by its `paint`.

    With several panels, the legend above them is that of the first. matplotlib is imported by the first figure: it
    takes long to load, and writes a list of the system's fonts below ~/.cache.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure as Drawing

    with mpl.rc_context(_STYLE):
        drawing = Drawing(figsize=(width, height), layout="constrained")
        drawing.patch.set_alpha(0)
        panels = drawing.subplots(ncols=len(paints), sharey=True, squeeze=False)[0]
        for axes, paint in zip(panels, paints, strict=True):
            axes.patch.set_alpha(0)
            paint(axes)
        if len(paints) > 1:
            drawing.set_layout_engine("constrained", wspace=0.06)
            drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False)
        stream = io.StringIO()
        FigureCanvasSVG(drawing)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # letters that matplotlib's font lacks: the browser's has them
            _lay_out(drawing)
            drawing.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    return Figure(printable(caption), printable(alt), _inline(stream.getvalue(), printable(alt)))


def _lay_out(drawing: Any) -> None:
    """Places the panels as savefig would, which draws all of the figure once more to do so."""
    drawing.dpi = 72  # that of SVG
    drawing.get_layout_engine().execute(drawing)
    drawing.set_layout_engine("none")


def _inline(document: str, alt: str) -> str:
    """The <svg> element without prolog and style rules, with ids that are unique among the figures of a page."""
    svg = document[document.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'<g id="[^"]*">', "<g>", svg)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    own = sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{own}-", svg)
    for placeholder, variable in _VARIABLES.items():
        svg = svg.replace(placeholder, variable)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt, quote=True)}" ', 1).strip()
