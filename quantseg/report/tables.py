"""Tables as text, at most WIDTH characters wide, for the terminal or as Markdown; and formatters for their cells.

A formatter turns one value into the text of a cell; None becomes a dash.
"""

import re
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from tabulate import tabulate

from quantseg.errors import printable

WIDTH = 100
NOTHING = "–"
_MARKUP = re.compile(r"[*`|<\\\[&~$]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.")
"""Markdown's markup, also GitHub's: emphasis (an underscore between letters is none), code, links written out or bare,
HTML and its entities, strikethrough, formulas, and the end of a cell."""
_BLOCK = re.compile(r">|(?:#{1,6}|[-+=]+|\d+[.)])(?=\s|$)")
"""The beginning of a line that would be a heading, an item, a quotation or a rule."""
_NARROWEST = 8
_LEFT_OUT = "…"
_NAMES = {"iou": "IoU", "dice": "Dice"}
_PRECISION = re.compile(r"a[pr]\d*")
"""AP, AR and what they are of: ap50, ar100."""
_QUANTITY = r"<?[+−-]?\d[\d.,]*(e[+−-]?\d+)?( ?(%|dB|ms|MB|x|x larger))?"
_FIRST = re.compile(r"[+-]?\d+(\.\d+)?(e[+-]?\d+)?")
_NUMBER = re.compile(rf"{_QUANTITY}( … {_QUANTITY})?|{NOTHING}|∞")

Cell = str | int | float | None
Row = Sequence[Cell]


def terminal(headers: Sequence[str], rows: Sequence[Row]) -> str:
    """A table for the terminal. Numbers are aligned right; long text is shortened in the middle."""
    return _table(headers, rows, "simple", str, WIDTH)


def markdown(headers: Sequence[str], rows: Sequence[Row], *, whole: bool = False) -> str:
    """The same table as a Markdown pipe table; markup characters in cells are escaped. whole: nothing is shortened."""
    return _table(headers, rows, "pipe", escaped, None if whole else WIDTH)


def percent(value: float | None) -> str:
    """A share 0…1 as per cent with one decimal: 0.9431 → '94.3 %'.

    Rounding never gives 100.0 for a share below 1, nor 0.0 for one above 0.
    """
    if value is None:
        return NOTHING
    if 0 < value < 0.0005:
        return "<0.1 %"
    shown = 99.9 if 0.9995 <= value < 1 else 100 * value
    return f"{shown:.1f} %"


def points(value: float | None) -> str:
    """A difference of two shares in percentage points, signed: −0.0012 → '−0.1'."""
    if value is None:
        return NOTHING
    shown = f"{100 * abs(value):.1f}"
    return shown if shown == "0.0" else ("+" if value > 0 else "−") + shown


def decibels(value: float | None) -> str:
    """A ratio in dB: 28.31 → '28.3 dB'; '∞' where there is no noise."""
    if value is None:
        return NOTHING
    return "∞" if value == float("inf") else f"{value:.1f} dB"


def milliseconds(value: float | None) -> str:
    """A duration in ms: 17.049 → '17.0 ms'."""
    return NOTHING if value is None else f"{_three_digits(value)} ms"


def ratio(value: float | None) -> str:
    """How many times: 2.314 → '2.31x'."""
    return NOTHING if value is None else f"{value:.2f}x"


def size_words(times: float) -> str:
    """How a file compares with one that is `times` as large: '4.0 times smaller', '2.5 times larger'."""
    if f"{times:.1f}" == "1.0" or f"{1 / times:.1f}" == "1.0":
        return "about as large"
    return f"{times:.1f} times smaller" if times > 1 else f"{1 / times:.1f} times larger"


def smaller(times: float) -> str:
    """The same in a column of that name: '4.00x', '2.50x larger'."""
    return ratio(times) if times >= 1 else f"{ratio(1 / times)} larger"


def megabytes(size: int | None) -> str:
    """Bytes in MB of 10⁶ bytes: 1534000 → '1.53 MB'."""
    return NOTHING if size is None else f"{_three_digits(size / 1e6)} MB"


def real(value: float | None) -> str:
    """A number with four significant digits: 0.0123456 → '0.01235'."""
    return NOTHING if value is None else f"{value:.4g}".replace("-", "−")


def shortened(text: str, width: int) -> str:
    """`text`, printable, in at most `width` characters, with … for its middle: names differ at their ends."""
    text = printable(text)
    if len(text) <= width:
        return text
    tail = (width - 1) // 2
    return f"{text[: width - 1 - tail]}…{text[len(text) - tail :]}"


def telling(names: Sequence[str], width: int) -> list[str]:
    """Node names, printable, in at most `width` characters each.

    Longer names first lose the path parts that most names share: a/b/c with b in most names becomes a/…/c; a name that
    is still too long loses its middle.
    """
    names = [printable(name) for name in names]
    paths = [name.split("/") for name in names]
    often = Counter(part for path in paths for part in set(path))

    def short(name: str, path: list[str]) -> str:
        for place in sorted(range(len(path)), key=lambda place: (-often[path[place]], -place))[:-1]:
            if len(name) <= width:
                break
            path[place] = _LEFT_OUT
            name = re.sub(f"({_LEFT_OUT}/)+{_LEFT_OUT}", _LEFT_OUT, "/".join(path))
        return shortened(name, width)

    return [short(name, list(path)) for name, path in zip(names, paths, strict=True)]


def escaped(text: str) -> str:
    """`text` as Markdown that shows just that, in one paragraph, item or cell."""
    plain = printable(text).lstrip()
    start = _BLOCK.match(plain)
    if start:
        return f"{start[0][:-1]}\\{start[0][-1]}{_marked(plain[start.end() :])}"
    return _marked(plain)


def _marked(text: str) -> str:
    return _MARKUP.sub(r"\\\g<0>", text)


def title(key: str) -> str:
    """The title of a metric's key: 'mean_iou' → 'mean IoU'."""
    return " ".join(_NAMES.get(word, word.upper() if _PRECISION.fullmatch(word) else word) for word in key.split("_"))


def alignments(headers: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """For each column, 'right' if every cell is a number, with or without unit, else 'left'."""
    if not rows:
        return ("left",) * len(headers)
    return tuple("right" if all(map(_is_numeric, column)) else "left" for column in zip(*rows, strict=True))


def sort_key(cell: Cell) -> float | None:
    """What a numeric cell sorts by, the first number of a pair or of a version; None for a dash and for text."""
    if not isinstance(cell, str):
        return None if cell is None else float(cell)
    if cell == "∞":
        return sys.float_info.max
    if cell == NOTHING or _NUMBER.fullmatch(cell) is None:
        return None
    found = _FIRST.search(cell.replace(",", "").replace("−", "-"))
    value = float(found[0]) if found else 0.0
    if cell.startswith("<"):
        return value / 2
    return 1 / value if value and cell.endswith("larger") else value


def _three_digits(value: float) -> str:
    """The value with three significant digits, but at most two decimals."""
    return f"{value:.{0 if value >= 99.95 else 1 if value >= 9.995 else 2}f}"


def _table(
    headers: Sequence[str], rows: Sequence[Row], style: str, escape: Callable[[str], str], width: int | None
) -> str:
    """The table at the largest cell width at which its lines fit the width; the widest cells are shortened first."""
    texts = [[_text(cell) for cell in row] for row in rows]
    limit = max((len(text) for row in texts for text in row), default=0)
    while True:
        shown = [[escape(shortened(text, limit)) for text in row] for row in texts]
        table = tabulate(
            shown,
            headers=[escape(_text(header)) for header in headers],
            tablefmt=style,
            colalign=alignments(headers, rows) if rows else None,
            disable_numparse=True,
        )
        excess = 0 if width is None else max(len(line) for line in table.split("\n")) - width
        if excess <= 0 or limit <= _NARROWEST:
            return table
        limit = max(_NARROWEST, limit - max(1, excess // len(headers)))


def _text(cell: Cell) -> str:
    return NOTHING if cell is None else printable(" ".join(str(cell).split()))


def _is_numeric(cell: Cell) -> bool:
    return not isinstance(cell, str) or _NUMBER.fullmatch(cell) is not None
