"""quantseg web: what the browser's runtime needs here."""

from typing import Annotated

import typer

from quantseg.cli import console

SETUP = "setup"


def web(
    what: Annotated[str, typer.Argument(help="setup: install onnxruntime-web from npm.", show_default=False)],
) -> None:
    """Install the browser's runtime, onnxruntime-web, from npm, so that models can be timed and tested in it here."""
    from quantseg.errors import QuantSegError
    from quantseg.runtimes import npm

    if what != SETUP:
        raise QuantSegError(f"{what!r} is nothing to do; say quantseg web {SETUP}")
    program = npm.node()
    package = npm.install()
    console.line(f"onnxruntime-web {npm.ONNXRUNTIME_WEB} in {package}; run by {program}")
