"""Terminal output of the commands: progress, text, and the log."""

import io
import logging
import os
import sys
from pathlib import Path

import typer

from quantseg.cli.screen import Screen
from quantseg.errors import printable

screen = Screen()
"""Where the progress of the command is shown."""
track = screen.display
"""The Track of all commands."""


def say(text: str = "") -> None:
    """Prints lines to standard output. A closed pipe (`| head`) stops the printing, not the command.

    Names of strangers may hold line breaks: text with such names that is no table goes through `line`.
    """
    try:
        with screen.aside():
            typer.echo("\n".join(map(printable, text.split("\n"))))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def line(text: str) -> None:
    """Prints one line to standard output."""
    say(printable(text))


def complain(text: str) -> None:
    """Prints one line to standard error."""
    with screen.aside():
        typer.echo(printable(text), err=True)


def written(*paths: Path) -> None:
    """Prints which files were written."""
    for path in paths:
        line(f"wrote {path}")


def tolerate_encodings() -> None:
    """Escapes what standard output cannot encode, such as an arrow where it is ASCII, as Python does for errors."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


class _OneLine(logging.Formatter):
    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


class _Aside(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        try:
            with screen.aside():
                sys.stderr.write(f"{self.format(record)}\n")
        except Exception:
            self.handleError(record)


def show_log(debug: bool) -> None:
    """Prints the library's log to standard error, one line for each message."""
    handler = _Aside()
    handler.setFormatter(_OneLine("note: %(message)s"))
    logger = logging.getLogger("quantseg")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if debug else logging.INFO)
    logger.propagate = False
