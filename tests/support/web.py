"""Whether onnxruntime-web can be run here: tests that need it are skipped with the reason where it cannot."""

import pytest

from quantseg.errors import MissingExtraError
from quantseg.runtimes import RUNTIMES


def missing() -> str | None:
    """Why onnxruntime-web cannot be run here; None where it can."""
    try:
        _ = RUNTIMES["onnxruntime-web"].version
    except MissingExtraError as error:
        return str(error)
    return None


needs_web = pytest.mark.skipif(missing() is not None, reason=str(missing()))
