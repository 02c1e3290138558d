"""Refinement with several inputs: as good as for the twin that is given the joined inputs."""

import numpy as np
import pytest

import quantseg as qs
from quantseg.graph import to_bytes
from tests.support import graphs, models
from tests.support.several_inputs import Array, all_feeds, one_input, saved, three_inputs

CALLS = {
    "fast": {"effort": "fast"},
    "balanced": {"effort": "balanced"},
    "int4": {"effort": "balanced", "weights": "int4"},
    "qoperator": {"effort": "fast", "format": "qoperator"},
}


def data() -> list[dict[str, Array]]:
    """At a scale of one, with which both networks are the same function."""
    return [one | {"scale": np.ones(1, np.float32)} for one in all_feeds()]


@pytest.mark.parametrize("name", CALLS)
def test_the_masks_are_those_of_the_twin(name: str, tmp_path) -> None:
    several = qs.quantize(saved(three_inputs(), tmp_path / "m.onnx"), data(), threads=1, **CALLS[name])
    joined = [np.concatenate([one["x"], one["prior"]], axis=1) for one in data()]
    alone = qs.quantize(saved(one_input(), tmp_path / "one.onnx"), joined, threads=1, **CALLS[name])
    noise = np.zeros(2)
    for feeds, channels in zip(data(), joined, strict=True):
        real = graphs.run(three_inputs(), feeds)[0]
        ours, theirs = (
            models.run(to_bytes(made.model), given)[0] for made, given in ((several, feeds), (alone, {"j": channels}))
        )
        noise += [float(np.square(found - real).sum()) for found in (ours, theirs)]
        assert np.abs(ours - theirs).mean() < float(np.abs(theirs).max()) / 100
    assert 0.5 < noise[0] / noise[1] < 2  # float ties are rounded to either side; regions and rounded weights follow


@pytest.mark.parametrize("effort", ["fast", "balanced", pytest.param("best", marks=pytest.mark.slow)])
def test_an_int8_model_has_the_same_inputs_and_is_like_the_float_one(effort: str, tmp_path) -> None:
    if effort == "best":
        pytest.importorskip("torch", reason="learned rounding is an extra; install quantseg[learn]")
    feeds = list(all_feeds())
    path = saved(three_inputs(), tmp_path / "m.onnx")
    made = qs.quantize(path, feeds[:2], effort=effort, threads=1)
    assert [(str(v.name), v.shape, v.dtype) for v in made.model.graph.inputs] == (
        [(str(v.name), v.shape, v.dtype) for v in three_inputs().graph.inputs]
    )
    for one in feeds:
        for real, quantised in zip(graphs.run(three_inputs(), one), models.run(to_bytes(made.model), one), strict=True):
            noise = float(np.square(real - quantised).sum()) / float(np.square(real).sum())
            assert 10 * np.log10(noise) < -25


def test_what_is_decided_by_masks_says_by_which(tmp_path) -> None:
    path = saved(three_inputs(), tmp_path / "m.onnx")
    assert "judged: output 'y', not 'aux'" in qs.quantize(path, data(), threads=1).notes
    assert not [note for note in qs.quantize(path, data(), effort="fast").notes if "judged" in note]
