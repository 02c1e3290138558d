"""Mutations of a recipe: values of other types, tables and keys that are double, dotted or unknown, deep nesting."""

from collections.abc import Callable
from random import Random

from tests.fuzz.mutation import odd, raw

_LITERALS = (
    "true", "false", "inf", "-inf", "nan", "1979-05-27", "1979-05-27T07:32:00Z", "07:32:00", '""', "''", '"a"', "[]",
    "{}", "{a=1}", "[[]]", "[1,2]", "[16,16]", "[0,0]", "[-1,16]", "[16,16,16]", "[1.5,2]", "[16384,16384]", "[1,'a']",
    "[true]", "[inf]", "[nan,nan,nan]", "[1e-45,1,1]", '["a","a"]', '["a","b","c"]', '["\\n"]', '["\\u0000","b","c"]',
    '["\\uD800"]', '"NCHW"', '"NHWC"', '"NHW"', '"RGB"', '"GRAY"', '"bilinear"', '"argmax"', '"labels"', '"threshold"',
    '"multilabel"', '"x"', '"y"', "0x10", "0b1", "1_0", "+0", "1e400", "-1e400", "1e-400", "9223372036854775808",
    "'''\n'''", '"""\\\n"""',
)  # fmt: skip
_KEYS = (
    "size", "layout", "channels", "scale", "mean", "std", "resize", "name", "head", "threshold", "classes",
    "ignore_index", "unknown", '""', '"a b"', "a.b", "size.a", "input", "output", "-", "ü", "'\u202e'",
)  # fmt: skip


def mutated(random: Random, text: str) -> bytes:
    """The recipe's text with one to three lines changed; sometimes its bytes, too."""
    lines = text.splitlines()
    for _ in range(random.choice((0, 1, 1, 1, 2, 3))):
        random.choice(_CHANGES)(random, lines)
    content = random.choice(("\n",) * 6 + ("\r\n", "\r", "\n\n")).join(lines).encode("utf-8", "surrogatepass")
    return raw.mutated(random, content) if random.random() < 0.15 else content


def literal(random: Random) -> str:
    """A value of any of TOML's types."""
    if random.random() < 0.75:
        return random.choice(_LITERALS)
    return random.choice(
        (
            lambda: str(odd.integer(random)), lambda: "9" * random.choice((30, 4000, 5000)),
            lambda: repr(odd.number(random)), lambda: '"' + odd.text(random) + '"',
            lambda: "[" * 500 + "]" * 500, lambda: "[" * 100_000, lambda: "{a=" * 500 + "1" + "}" * 500,
            lambda: "[" + "1," * 100_000 + "]",
        )
    )()  # fmt: skip


def _index(random: Random, lines: list[str]) -> int:
    return random.randrange(len(lines)) if lines else 0


def _value(random: Random, lines: list[str]) -> None:
    keyed = [index for index, line in enumerate(lines) if "=" in line]
    if keyed:
        index = random.choice(keyed)
        lines[index] = f"{lines[index].partition('=')[0]}= {literal(random)}"


def _line(random: Random, lines: list[str]) -> None:
    lines.insert(_index(random, lines), f"{random.choice(_KEYS)} = {literal(random)}")


def _header(random: Random, lines: list[str]) -> None:
    name = random.choice(("input", "output", "other", "input.size", "input.input", "[input]", "", " ", '"\\n"', "a.b"))
    lines.insert(_index(random, lines), f"[{name}]")


def _delete(random: Random, lines: list[str]) -> None:
    del lines[_index(random, lines) : _index(random, lines) + 1]


def _double(random: Random, lines: list[str]) -> None:
    lines.insert(_index(random, lines), lines[_index(random, lines)] if lines else "")


def _deep(random: Random, lines: list[str]) -> None:
    """Dotted keys and headers, as deep as is cheap to write."""
    depth = random.choice((10, 200, 1000))
    lines.insert(_index(random, lines), random.choice(("a." * depth + "b = 1", "[" + "a." * depth + "b]")))


def _junk(random: Random, lines: list[str]) -> None:
    lines.insert(_index(random, lines), odd.text(random))


_CHANGES: tuple[Callable[[Random, list[str]], None], ...] = (
    _value, _value, _value, _value, _value, _line, _line, _header, _delete, _double, _deep, _junk,
)  # fmt: skip
