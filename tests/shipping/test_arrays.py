"""An app of a model that was calibrated on arrays: they do not fit the app's own input, and its card says so."""

from pathlib import Path

import numpy as np

import quantseg as qs
from tests.conftest import SIZE


def test_arrays_calibrate_and_cannot_judge(float_model: Path, stand_in: Path, tmp_path: Path) -> None:
    arrays = [np.random.default_rng(k).random((3, SIZE, SIZE), np.float32) for k in range(2)]
    app = qs.ship(float_model, tmp_path / "app", arrays, effort="fast", threads=1)
    card = (app / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "The masks could not be judged" in card
