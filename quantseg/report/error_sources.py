"""The tables of an analysis of error sources, for the terminal and for pages."""

from collections.abc import Iterator, Sequence

from quantseg.mixed_precision.error_sources.values import ErrorSources, TensorError
from quantseg.report import tables

KEY = (
    "risk: margin-weighted output error of rounding that alone, about the share of the masks that changes; share: of "
    "the squared risks, which add. group, tail, channels: bits of its grid that most values of a tensor cannot use, as "
    "wider tensors share the grid, for the 0.1 % of its values that are rarest, and for channels wider than the median "
    "one. clipped: share of its squared error that values outside the grid make"
)
Section = tuple[str, Sequence[str], Sequence[tables.Row]]
_BESIDE = 60
"""The width of all other columns of the widest table."""


def sections(found: ErrorSources, *, top: int, whole: bool = False) -> Iterator[Section]:
    """Heading, headers and rows of each table that has rows. top: most rows. whole: names are not shortened."""

    def names(of: Sequence[str]) -> list[str]:
        return list(of) if whole else tables.telling(list(of), tables.WIDTH - _BESIDE)

    yield "The whole", ("rounded", "risk"), _whole(found)
    tensors = found.tensors[:top]
    if tensors:
        shown = names([one.name for one in tensors])
        rows = [(name, *_of_tensor(found, one)) for name, one in zip(shown, tensors, strict=True)]
        yield "Tensors", ("tensor", "made by", "risk", "share", "group", "tail", "channels", "clipped"), rows
    if found.channels:
        channels = zip(names([one.tensor for one in found.channels]), found.channels, strict=True)
        of = [(name, _range(one.channels), one.count, tables.percent(one.share)) for name, one in channels]
        yield "Channels that carry most of a tensor's risk", ("tensor", "channels", "of", "share"), of
    weights = found.by_node[:top]
    if weights:
        nodes = zip(names([one.node for one in weights]), weights, strict=True)
        by = [(name, one.op_type, _risk(one.risk), tables.percent(found.share_of(one))) for name, one in nodes]
        yield "Weights", ("node", "op", "risk", "share"), by
    if found.growth:
        last = names([one.last for one in found.growth])
        grown = [(name, one.tensors, _risk(one.risk)) for name, one in zip(last, found.growth, strict=True)]
        yield "Along the graph: all tensors rounded up to", ("tensor", "tensors", "risk"), grown


def _whole(found: ErrorSources) -> list[tables.Row]:
    return [
        ("everything", _risk(found.whole)),
        ("weights alone", _risk(found.weights)),
        ("activations alone", _risk(found.activations)),
        ("activations, if errors were independent", _risk(found.apart)),
    ]


def _of_tensor(found: ErrorSources, one: TensorError) -> tuple[str, ...]:
    lost = one.lost
    bits = (None, None, None) if lost is None else (lost.group, lost.tail, lost.channels)
    made_by = one.made_by if len(one.made_by) <= 16 else f"{one.made_by[:15]}…"
    shown = (tables.NOTHING if bit is None else f"{bit:.1f}" for bit in bits)
    return (made_by, _risk(one.risk), tables.percent(found.share(one)), *shown, tables.percent(one.clipped))


def _range(channels: tuple[int, int]) -> str:
    first, last = channels
    return str(first) if first == last else f"{first} … {last}"


def _risk(risk: float) -> str:
    return f"{risk:.4f}"
