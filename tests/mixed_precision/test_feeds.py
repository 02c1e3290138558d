"""What a model is fed when only its speed is of interest."""

from pathlib import Path

import numpy as np
import pytest

from quantseg import graph
from quantseg.errors import RecipeError
from quantseg.mixed_precision.feeds import feeds_for
from quantseg.quantization.float_model import RecipeSource
from tests.conftest import SIZE
from tests.support import graphs


def test_feeds_for_timing_take_open_sizes_from_the_recipe(tmp_path: Path) -> None:
    model = graphs.graph("y = Conv(x, w)", x="float[N,3,H,W]", y="float[N,2,H,W]", w=graphs.noise(2, 3, 1, 1))
    (tmp_path / "m.onnx").write_bytes(graph.to_bytes(model))
    feeds = feeds_for(tmp_path / "m.onnx", RecipeSource(flags={"size": (6, 8)}))
    assert {name: array.shape for name, array in feeds.items()} == {"x": (1, 3, 6, 8)}
    with pytest.raises(RecipeError, match="size=HxW"):
        feeds_for(tmp_path / "m.onnx", RecipeSource())


def test_feeds_for_timing_of_a_fixed_model_need_no_recipe(float_model: Path) -> None:
    first, second = (feeds_for(float_model)["x"] for _ in range(2))
    assert (first.shape, first.dtype) == ((1, 3, SIZE, SIZE), np.float32)
    np.testing.assert_array_equal(first, second)
