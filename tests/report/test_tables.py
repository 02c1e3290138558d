import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from quantseg.errors import printable
from quantseg.report import tables

CELLS = st.one_of(st.none(), st.integers(), st.text(max_size=150), st.sampled_from(["/enc/1/Conv" * 12, "94.3 %"]))


@given(st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=6)))
@pytest.mark.parametrize("make", [tables.terminal, tables.markdown])
def test_no_line_is_wider_than_the_limit(make, rows):
    table = make([f"column {k}" for k in range(len(rows[0]))], rows)
    assert max(map(len, table.split("\n"))) <= tables.WIDTH
    assert len(table.split("\n")) == len(rows) + 2


def test_a_terminal_table():
    assert tables.terminal(["model", "latency", "size"], [["float", "54.2 ms", 31], ["int8", None, 8]]) == (
        "model      latency    size\n-------  ---------  ------\nfloat      54.2 ms      31\nint8             –       8"
    )


def test_a_markdown_table_escapes_markup():
    lines = tables.markdown(["node", "n"], [["a|b*", 3]]).split("\n")
    assert [line.replace(" ", "") for line in lines] == ["|node|n|", "|:-------|----:|", "|a\\|b\\*|3|"]


def test_only_quantities_stand_to_the_right():
    rows = [
        ["1 Conv", "0016.png", "−1.4 … 1.4", "1e-05", None, 3],
        ["2 Conv", "0017.png", "−2 … 3", "2", "94.3 %", 4],
    ]
    assert tables.alignments(list("abcdef"), rows) == ("left", "left", "right", "right", "right", "right")


def test_a_table_without_rows_is_its_head():
    assert tables.terminal(["a", "b"], []).split("\n")[0] == "a    b"


@given(st.text(), st.integers(1, 40))
def test_shortening_keeps_both_ends(text, width):
    short, text = tables.shortened(text, width), printable(text)
    assert len(short) <= max(width, 0)
    if len(text) <= width:
        assert short == text
    else:
        head, tail = short.split("…", 1) if "…" not in text else (short[:0], short[len(short) :])
        assert text.startswith(head)
        assert text.endswith(tail)


@pytest.mark.parametrize(
    ("formatter", "value", "text"),
    [
        (tables.percent, 0.9431, "94.3 %"),
        (tables.percent, 1.0, "100.0 %"),
        (tables.percent, 0.99999, "99.9 %"),
        (tables.percent, 0.0, "0.0 %"),
        (tables.percent, 1e-9, "<0.1 %"),
        (tables.percent, None, "–"),
        (tables.points, -0.0012, "−0.1"),
        (tables.points, 0.021, "+2.1"),
        (tables.points, -0.0001, "0.0"),
        (tables.points, None, "–"),
        (tables.decibels, 28.31, "28.3 dB"),
        (tables.decibels, float("inf"), "∞"),
        (tables.decibels, None, "–"),
        (tables.milliseconds, 17.049, "17.0 ms"),
        (tables.milliseconds, 3.14159, "3.14 ms"),
        (tables.milliseconds, 1234.5, "1234 ms"),
        (tables.milliseconds, None, "–"),
        (tables.ratio, 2.314, "2.31x"),
        (tables.ratio, None, "–"),
        (tables.megabytes, 1_534_000, "1.53 MB"),
        (tables.megabytes, 250_000_000, "250 MB"),
        (tables.megabytes, None, "–"),
        (tables.real, 0.0123456, "0.01235"),
        (tables.real, None, "–"),
        (tables.title, "mean_iou", "mean IoU"),
        (tables.title, "pixel_accuracy", "pixel accuracy"),
    ],
)
def test_formats(formatter, value, text):
    assert formatter(value) == text


@given(st.lists(st.text("ab/…", max_size=40), max_size=6), st.integers(5, 50))
def test_names_that_fit_stay_and_the_others_are_made_to_fit(names, width):
    short = tables.telling(names, width)
    assert [one for one in short if len(one) > width] == []
    assert [new for new, old in zip(short, names, strict=True) if len(old) <= width] == [
        n for n in names if len(n) <= width
    ]


def test_of_long_names_what_tells_them_apart_is_kept():
    names = [f"network/{block}/{part}/Norm/Fused" for block in ("block_1", "block_2") for part in ("expand", "project")]
    assert tables.telling([*names, "network/head"], 20) == [
        "…/block_1/expand/…",
        "…/block_1/project/…",
        "…/block_2/expand/…",
        "…/block_2/project/…",
        "network/head",
    ]


PIECES = [*"*_`|<>\\[]()&;~$#-+=!.:/@ax1 \n\t\x1b\u202e\u2028", "http", "www", "<b>", "&lt;"]
MARKUP = st.lists(st.sampled_from(PIECES), max_size=24).map("".join)
READER = MarkdownIt("commonmark").enable(["table", "strikethrough"])


def shown(source: str) -> list[tuple[str, str]]:
    """What a reader of Markdown shows: the kind of each block with text, and that text, which has no markup in it."""
    kinds, found = [], []
    for token in READER.parse(source):
        if token.type.endswith("_open"):
            kinds.append(token.type.removesuffix("_open"))
        if token.type == "inline":
            assert {child.type for child in token.children or ()} <= {"text", "text_special"}, token.children
            found.append((kinds[-1], "".join(child.content for child in token.children or ())))
        assert token.type not in ("html_block", "code_block", "fence", "hr")
    return found


@given(MARKUP)
@example("- [x](http://e) <script>")
@example("www.example.org and https://example.org")
@example("1. a\n# b")
@example("__x__ _y_ a_b $z$ &#x202e;")
def test_text_of_strangers_is_shown_as_it_is(text):
    """Read by markdown-it, which has no bare links and no formulas: those are looked for in the source."""
    plain = " ".join(text.split())
    source = tables.escaped(plain)
    assert not re.search(r"://|(?<!\\)(\\\\)*\$|www\.", source.replace("\\:", ""))
    wanted = printable(plain)
    if wanted:
        assert shown(source) == [("paragraph", wanted)]
        assert shown(f"- {source}") == [("paragraph", wanted)]
        assert shown(f"# {source}x") == [("heading", f"{wanted}x")]


@given(MARKUP, MARKUP)
def test_a_cell_of_strangers_stays_a_cell(one, other):
    read = shown(tables.markdown([one, "n"], [[other, 1], ["x", 2]]))
    assert [kind for kind, _ in read] == ["th", "th", "td", "td", "td", "td"]
    assert [text for _, text in read[1::2]] == ["n", "1", "2"]
    assert [read[0][1], read[2][1]] == [printable(" ".join(text.split())) for text in (one, other)]


def test_a_whole_markdown_table_shortens_nothing():
    long = "a cell of many words " * 10
    assert long.strip() in tables.markdown(["one", "two"], [[long, long]], whole=True)
    assert long.strip() not in tables.markdown(["one", "two"], [[long, long]])
