"""Odd values that any kind of file may hold: numbers at the ends of types, texts that are no plain words."""

from random import Random

INTEGERS = (
    0, 1, -1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 127, 128, -128, 255, 256, 257, 1000, 65535, 65536, 1 << 20, (1 << 31) - 1,
    1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 32, 1 << 40, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, -(1 << 63),
)  # fmt: skip
HUGE = (1 << 63, 1 << 64, -(1 << 64), 10**40, -(10**400), 10**5000)
FLOATS = (
    0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 1e-7, 3.4e38, -3.4e38, 1e39, 1e308, float("inf"), float("-inf"),
    float("nan"),
)  # fmt: skip
TEXTS = (
    "", " ", ".", "..", "/", "../secret.bin", "/etc/hostname", "a/b", "a\\b", "C:x", "~", "x", "y", "w", "NaN", "-1",
    "\0", "a\nb", "a\rb", "\t", "\x1b[31m", "\u200b", "\u202e", "\ufeff", "\u00a0", "é", "Ünïcode",
    "\u56fe\u50cf", "\U0001f600", "%s %d", "{}", "{0.__class__}", "*", "[", "[a-", "(", "?",
    "'", '"', "`id`", "$(id)", "x" * 300, "n" * 5000,
    "a/" * 600, "ai.onnx", "com.microsoft", "Conv", "True", "null", "x_quantized", "x_scale", "x_zero_point",
)  # fmt: skip
"""None of them names a file that exists, but for ../secret.bin and /etc/hostname, which are not to be read."""
SURROGATE = "\udcff"


def integer(random: Random) -> int:
    """An integer that fits 64 bits: small, or at the end of a type."""
    return random.choice(INTEGERS) if random.random() < 0.6 else random.randint(-9, 40)


def number(random: Random) -> float:
    """A float, often at an end of its type."""
    return random.choice(FLOATS) if random.random() < 0.7 else random.uniform(-10, 10)


def text(random: Random) -> str:
    """A text, printable or not, that UTF-8 can hold."""
    return random.choice(TEXTS)


def size(random: Random) -> int:
    """A length of an axis: mostly one that memory holds."""
    return (
        random.choice((0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17))
        if random.random() < 0.85
        else min(abs(integer(random)), (1 << 63) - 1)
    )
