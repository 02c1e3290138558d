"""Terminal output of the commands: progress and text; notes are in notes.py."""

import io
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


def coloured(text: str, colour: str | None) -> None:
    """Prints one line in bold and in this colour on a terminal, plain elsewhere and where NO_COLOR is set."""
    if colour is None or not sys.stdout.isatty() or os.environ.get("NO_COLOR"):
        line(text)
    else:
        with screen.aside():
            typer.secho(printable(text), fg=colour, bold=True)


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
