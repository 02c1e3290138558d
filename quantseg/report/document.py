"""A document independent of its format: sections of text, tables and figures, to be rendered as HTML or Markdown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from quantseg.report.images import ReportImage
from quantseg.report.palette import Colour
from quantseg.report.tables import Row, alignments


@dataclass(frozen=True)
class Table:
    """A table of text cells with headers and a caption.

    levels: (row, column) → the level of that cell, of evaluation.judgement.LEVELS, where it is judged.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[Row, ...]
    levels: Mapping[tuple[int, int], str] = field(default_factory=dict)

    @property
    def alignments(self) -> tuple[str, ...]:
        """'left' or 'right' for each column."""
        return alignments(self.headers, self.rows)


@dataclass(frozen=True)
class Figure:
    """A drawing. svg: SVG markup without XML prolog. alt: its alternative text. narrow: the same for a phone, or ''."""

    caption: str
    alt: str
    svg: str
    narrow: str = ""


@dataclass(frozen=True)
class Legend:
    """The meaning of a colour in the images."""

    colour: Colour
    meaning: str


@dataclass(frozen=True)
class Section:
    """One part of the document. Its tables come before its figures; items: short sentences, shown as a list."""

    title: str
    text: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    items: Sequence[str] = ()
    commands: Sequence[str] = ()
    legend: Sequence[Legend] = ()
    images: Sequence[ReportImage] = ()

    @property
    def anchor(self) -> str:
        """The title as an HTML id, to link to."""
        return "-".join(self.title.lower().split())


@dataclass(frozen=True)
class Headline:
    """A key number in large type. label: what it is. detail: how it comes about, such as "17.0 MB → 4.4 MB".

    level: of evaluation.judgement.LEVELS, where the number is judged.
    """

    value: str
    label: str
    detail: str
    level: str | None = None
