"""Suppresses the terminal output of another tool; its result or its exception is all that is passed on."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def silence() -> Iterator[None]:
    """Suppresses standard output, logging and warnings inside a `with` block, and restores them afterwards.

    The root logger gets a handler because `logging.warning` would otherwise configure it permanently.
    """
    root, hush, disabled = logging.getLogger(), logging.NullHandler(), logging.root.manager.disable
    root.addHandler(hush)
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)
        root.removeHandler(hush)
