"""The entry point of the `quantseg` command: it answers Ctrl-C before anything that takes time is imported."""

from quantseg.cli import ending


def main() -> None:
    """Runs the command of `sys.argv` and exits."""
    ending.guard()
    try:
        from quantseg.cli.commands import run

        ending.leave(run())
    finally:
        ending.settle()
