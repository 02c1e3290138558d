"""Text of strangers on one line that is only read; messages of errors are that, and not too long."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg import errors
from quantseg.errors import DataError, ModelError, QuantSegError, first_line, printable, shortened, text_of

ANY = st.text(st.characters())
"""Surrogates too, as in names of files that are no UTF-8."""


@given(ANY)
def test_nothing_that_commands_or_hides_is_left(text: str) -> None:
    plain = printable(text)
    assert {unicodedata.category(letter) for letter in plain} <= SHOWN
    assert plain.encode("utf-8").decode("utf-8").splitlines() in ([], [plain])
    assert printable(plain) == plain


SHOWN = {
    *("Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No"),
    *("Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk", "So", "Zs"),
}
"""Unicode's categories of letters, marks, numbers, punctuation, symbols, and the space."""


@given(st.text(st.characters(categories=["L", "N", "P", "S"])))
def test_what_is_only_read_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nwrote b\r", r"a\nwrote b\r"),
        ("\x9b2J", r"\x9b2J"),
        ("x\u202egpj.exe", r"x\u202egpj.exe"),
        ("\u2066a\u2069\u200f\u2028", r"\u2066a\u2069\u200f\u2028"),
        ("zero\u200bwidth\ufeff", r"zero\u200bwidth\ufeff"),
        ("tag\U000e0041", r"tag\U000e0041"),
        (b"\xff.png".decode("utf-8", "surrogateescape"), r"\udcff.png"),
        ("Müller_图像 1|2 <b>", "Müller_图像 1|2 <b>"),
    ],
)
def test_escapes_are_pythons(text: str, plain: str) -> None:
    assert printable(text) == plain


def test_every_error_is_one_line() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, QuantSegError)]
    assert len(kinds) > 8
    for kind in kinds:
        assert str(kind("a\x1b[2J\nb")) == r"a\x1b[2J\nb"


@given(st.text(max_size=3000))
def test_every_message_is_one_printable_line_of_bounded_length(text: str) -> None:
    message = str(QuantSegError(text))
    assert message.isprintable()
    assert len(message) <= 800
    assert str(ModelError(f"m.onnx: {DataError(text)}")).isprintable()
    message.encode()


@given(st.text())
def test_what_can_be_printed_is_unchanged_and_a_second_pass_changes_nothing(text: str) -> None:
    once = printable(text)
    assert (printable(once), once == text) == (once, text.isprintable())
    assert shortened(once) == once if len(once) <= 800 else len(shortened(once)) <= 800


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp.exe", "\\u202egnp.exe"),
        ("\udcff.png", "\\udcff.png"),
        ("Ünïcode 图像 × …", "Ünïcode 图像 × …"),
    ],
)
def test_what_cannot_be_printed_is_escaped(text: str, shown: str) -> None:
    assert str(DataError(text)) == shown


def test_a_long_message_keeps_its_file_and_its_remedy() -> None:
    message = str(DataError(f"a.json: names {'n' * 5000}; restore it"))
    assert message.startswith("a.json: names nnn")
    assert message.endswith("nnn; restore it")
    assert " … " in message


def test_a_long_message_is_cut_only_once() -> None:
    text = str(DataError("x" * 5000))
    assert str(DataError(text)) == text


def test_what_a_library_says_is_one_line_even_where_it_is_no_text() -> None:
    with pytest.raises(UnicodeDecodeError) as caught:
        b"bad name \xba in\nnode".decode()
    assert text_of(caught.value) == "bad name \ufffd in\nnode"
    assert first_line(caught.value) == "bad name \ufffd in"
    assert first_line(ValueError("\n one\ntwo")) == "one"
    assert first_line(KeyError()) == "KeyError"


def test_all_errors_are_of_the_tool() -> None:
    found = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    assert all(issubclass(kind, QuantSegError) for kind in found)
