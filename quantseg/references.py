"""The reference models that come with the project, found as files: this package never imports their training code."""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

from quantseg.errors import ModelError

CALIBRATION_SEED, VALIDATION_SEED = 2_000_000, 3_000_000
"""First seeds of the blood smears that reference models are calibrated and judged on; training draws other ones."""


def reference_models() -> Mapping[str, Path]:
    """Name → ONNX file of every reference model, by name. Raises ModelError where they are not installed."""
    spec = find_spec("reference_models")
    folders = [] if spec is None else spec.submodule_search_locations or []
    found = {path.stem: path for folder in folders for path in sorted(Path(folder).glob("weights/*.onnx"))}
    if not found:
        raise ModelError("no reference model is installed; install quantseg from its repository, or name a model")
    return found
