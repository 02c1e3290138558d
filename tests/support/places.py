"""Where the repository lies, and models and data of others that may lie beside it."""

from pathlib import Path

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared"
WEIGHTS = ROOT / "reference_models" / "weights"
