"""A document before it has a form: sections of text, tables and figures, for HTML and Markdown alike."""

from collections.abc import Sequence
from dataclasses import dataclass

from quantseg.report.images import ReportImage
from quantseg.report.palette import Colour
from quantseg.report.tables import Row, alignments


@dataclass(frozen=True)
class Table:
    """Rows of cells under headers; the caption says what they are."""

    caption: str
    headers: tuple[str, ...]
    rows: tuple[Row, ...]

    @property
    def alignments(self) -> tuple[str, ...]:
        """'left' or 'right' for each column."""
        return alignments(self.headers, self.rows)


@dataclass(frozen=True)
class Figure:
    """A drawing: SVG markup without XML prolog, and the words that stand for it."""

    caption: str
    alt: str
    svg: str


@dataclass(frozen=True)
class Legend:
    """What a colour of the images means."""

    colour: Colour
    meaning: str


@dataclass(frozen=True)
class Section:
    """One part of the document. Its tables stand before its figures; `items` is a list of short sentences."""

    title: str
    text: str
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    items: Sequence[str] = ()
    commands: Sequence[str] = ()
    legend: Sequence[Legend] = ()
    pictures: Sequence[ReportImage] = ()

    @property
    def anchor(self) -> str:
        """The title as a link target."""
        return "-".join(self.title.lower().split())


@dataclass(frozen=True)
class Headline:
    """A figure that stands out: its value, what it is, and what it is made of."""

    value: str
    label: str
    detail: str
