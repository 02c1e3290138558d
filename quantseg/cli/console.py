"""Terminal output of the commands: progress bars and text; notes are in notes.py."""

import io
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeVar

import typer

from quantseg.errors import printable

T = TypeVar("T")


def track(items: Iterable[T], *, total: int, what: str) -> Iterable[T]:
    """Yields the items with a progress bar (items per second, time left) on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        return items
    return _with_bar(items, total, what)


def _with_bar(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        ProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    class Speed(ProgressColumn):
        def render(self, task: Any) -> Text:
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        Speed(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield from progress.track(items, total=total, description=printable(what))


def say(text: str = "") -> None:
    """Prints lines to standard output. A closed pipe (`| head`) stops the printing, not the command.

    Names of strangers may hold line breaks: text with such names that is no table goes through `line`.
    """
    try:
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
        typer.secho(printable(text), fg=colour, bold=True)


def complain(text: str) -> None:
    """Prints one line to standard error."""
    typer.echo(printable(text), err=True)


def written(*paths: Path) -> None:
    """Prints which files were written."""
    for path in paths:
        line(f"wrote {path}")


def tolerate_encodings() -> None:
    """Escapes what standard output cannot encode, such as an arrow where it is ASCII, as Python does for errors."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
