"""The roofline as text: one line for a model, and table rows for its convolutions."""

import re
from collections.abc import Iterable

from quantseg.report.tables import NOTHING, Row, percent
from quantseg.runtimes.execution import ExecutedNode, summary
from quantseg.runtimes.products import Product
from quantseg.runtimes.roofline.roofs import Roofs, convolutions, fraction_of_roof

HEADERS = ("convolution", "shape", "MMAC", "ms", "GMAC/s", "roof", "time")
"""Columns of `slowest`. shape: kernel, input→output channels, spatial size. roof: the share of the roof reached."""
_HUNG_ON = re.compile(r"(_nchwc|_token_\d+)+$")
"""Suffixes that onnxruntime appends to the name of a node that it rewrites."""


def sentence(nodes: Iterable[ExecutedNode], roofs: Roofs) -> str:
    """One line: the convolutions' share of the time, their speed, and the share of the roof that they reach."""
    found = convolutions(nodes)
    total = summary(found)
    if not found:
        return "no convolutions ran"
    said = f"convolutions take {percent(total.convolution_share)} of the time"
    fraction = fraction_of_roof(found, roofs)
    if fraction is None:
        return f"{said}; the runtime does not tell their shapes"
    said += f" and run at {rate(total.convolution_macs_per_second)}, {percent(fraction)} of"
    over = {roofs.over(node.kind) for node in found if node.product is not None}
    first, *others = sorted(over, key=lambda roof: roof.macs_per_second, reverse=True)
    if not others:
        return f"{said} this machine's best {first.kind} matrix product, {rate(first.macs_per_second)}"
    both = ", ".join(f"{roof.kind} {rate(roof.macs_per_second)}" for roof in (first, *others))
    return f"{said} what this machine's best matrix products reach ({both})"


def slowest(nodes: Iterable[ExecutedNode], roofs: Roofs, *, limit: int | None = None) -> list[Row]:
    """Table rows for HEADERS, the slowest convolution first; after `limit` rows all others in one."""
    found = convolutions(nodes)
    shown, rest = found[:limit], found[limit:] if limit is not None else ()
    rows: list[Row] = [(plain_name(node.name), label(node.product), *figures([node], roofs)) for node in shown]
    return [*rows, (f"… and {len(rest)} more", None, *figures(rest, roofs))] if rest else rows


def figures(nodes: Iterable[ExecutedNode], roofs: Roofs) -> tuple[str, ...]:
    """Cells for HEADERS[2:], totals over these nodes: MMAC, ms, GMAC/s, share of the roof, share of time."""
    nodes = tuple(nodes)
    total = summary(nodes)
    speed = total.convolution_macs_per_second
    return (
        NOTHING if speed is None else f"{total.convolution_macs / 1e6:.1f}",
        f"{1e3 * total.seconds:.3f}",
        NOTHING if speed is None else f"{speed / 1e9:.0f}",
        percent(fraction_of_roof(nodes, roofs)),
        percent(total.convolution_share),
    )


def label(product: Product | None) -> str | None:
    """Kernel, channels and spatial size, such as '3x3, 32→64, 96x96' or '5x5 depthwise, 160, 12x16'."""
    if product is None:
        return None
    (read, written), (batch, *places) = product.channels, product.size
    kernel, channels = _times(product.kernel), f"{read}→{written}"
    if product.groups > 1 and product.groups == read == written:
        kernel, channels = f"{kernel} depthwise", f"{read}"
    elif product.groups > 1:
        kernel = f"{kernel} in {product.groups} groups"
    return f"{kernel}, {channels}, {_times(places)}" + (f", batch {batch}" if batch > 1 else "")


def plain_name(name: str) -> str:
    """A node's name in the model, without the suffixes of onnxruntime."""
    return _HUNG_ON.sub("", name) or name


def rate(value: float | None) -> str:
    """Multiply-accumulates per second: 4.07e11 → '0.41 TMAC/s', 4.07e10 → '40.7 GMAC/s'."""
    if value is None:
        return NOTHING
    return f"{value / 1e12:.2f} TMAC/s" if value >= 1e11 else f"{value / 1e9:.1f} GMAC/s"


def _times(sizes: Iterable[int]) -> str:
    return "x".join(map(str, sizes))
