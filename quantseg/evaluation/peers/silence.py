"""Keeps another tool off our terminal: what it has to say comes back as its result or its error."""

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def silence() -> Iterator[None]:
    """Nothing printed to standard output, logged or warned inside is seen; all is as before afterwards.

    The handler is there because `logging.warning` would otherwise set up the root logger for good.
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
