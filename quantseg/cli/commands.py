"""The command line: `quantseg COMMAND …`. Errors that a user can fix are one line and exit code 2."""

import sys
from typing import Any

import typer
from typer.core import TyperGroup

import quantseg
from quantseg.cli import console, ending, notes
from quantseg.cli.benchmark import benchmark
from quantseg.cli.calibrate import calibrate
from quantseg.cli.check import check
from quantseg.cli.compare import compare
from quantseg.cli.demo import demo
from quantseg.cli.evaluate import evaluate
from quantseg.cli.explain import explain
from quantseg.cli.flags import as_flags
from quantseg.cli.inspect import inspect
from quantseg.cli.quantize import quantize
from quantseg.cli.report import report
from quantseg.cli.search import search
from quantseg.cli.sensitivity import sensitivity
from quantseg.cli.simulate import simulate
from quantseg.cli.temporaries import own_temporaries
from quantseg.cli.web import web
from quantseg.errors import QuantSegError

WIDTH = 100
"""Columns of the list of commands."""

COMMANDS = (
    check, calibrate, quantize, report, sensitivity, inspect, evaluate, benchmark, compare, search, simulate, explain,
    demo, web,
)  # fmt: skip


class _Commands(TyperGroup):
    """The list of commands in plain text: rich, which draws each command's own flags, takes half a second to load."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As click writes it."""
        formatter.width = WIDTH
        self.rich_markup_mode = None
        super().format_help(ctx, formatter)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The first paragraph of each command, whole."""
        texts = ((name, (command.help or "").split("\n\n")[0]) for name, command in self.commands.items())
        with formatter.section("Commands"):
            formatter.write_dl([(name, " ".join(text.split())) for name, text in texts])


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _command in COMMANDS:
    app.command()(_command)


_UsageError: Any = typer.BadParameter.__mro__[1]  # click's class, or that of typer's own copy of click


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"quantseg {quantseg.__version__}")
        raise typer.Exit


def _show_completion(shell: str | None) -> None:
    if shell is None:
        return
    from quantseg.cli.completion import SHELLS, script

    if shell not in SHELLS:
        raise typer.BadParameter(f"{shell!r} is no shell that is known; give {', '.join(SHELLS)}")
    typer.echo(script(shell, typer.main.get_command(app)))
    raise typer.Exit


@app.callback()
def options(
    completion: str = typer.Option(
        None,
        "--completion",
        metavar="SHELL",
        callback=_show_completion,
        is_eager=True,
        help='Completion for bash, zsh or fish: eval "$(quantseg --completion bash)".',
    ),
    version: bool = typer.Option(False, "--version", callback=_show_version, is_eager=True, help="Show the version."),
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error. May stand anywhere."),
) -> None:
    """Int8 segmentation models that are smaller, faster and say the same about every pixel, with the proof."""


def run() -> int:
    """Runs the command of `sys.argv` and returns its exit code; when it ends, nothing stays but what is finished."""
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1
    console.tolerate_encodings()
    with own_temporaries(), notes.of_log(debug), console.screen.showing():
        code, message = _outcome(arguments or ["--help"], debug)
    ending.settle()  # a command whose workers were ended says nothing of its own
    if message:
        console.complain(message)
    return code


def _outcome(arguments: list[str], debug: bool) -> tuple[int, str | None]:
    """The exit code of a command, and what it says of its failure."""
    try:
        return app(arguments, prog_name="quantseg", standalone_mode=False) or 0, None
    except _UsageError as error:
        command = "quantseg" if error.ctx is None else error.ctx.command_path
        return 2, f"error: {' '.join(error.format_message().split()).rstrip('.')}; see {command} --help"
    except typer.Abort:
        return 130, "interrupted"
    except QuantSegError as error:
        if debug:
            raise
        return error.exit_code, f"error: {as_flags(str(error))}"
    except BrokenPipeError:  # of typer's own texts, as in quantseg --help | head
        return 0, None
    except OSError as error:
        if debug:
            raise
        what = error.filename or "standard output or a temporary file"
        return 2, f"error: {what}: {error.strerror or error}; check the place and the space left there"
    except MemoryError as error:
        if debug:
            raise
        return 2, f"error: not enough memory ({error}); use a smaller model, a smaller input or fewer images"
