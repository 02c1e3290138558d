"""What a message may be: one line that can be printed, not too long, whatever names it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg import errors
from quantseg.errors import DataError, ModelError, QuantSegError, first_line, printable, shortened, text_of


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
