"""The ranges that a grid could have lie within the one that it has."""

import pytest

from quantseg.calibration.calibrators import CALIBRATORS, calibrator
from quantseg.graph.preparation import prepare
from quantseg.quantization.affine import Range
from quantseg.refinement.groups import SAFE, group_ranges
from tests.support import graphs
from tests.support.candidates import calibrated, candidate, images, observed
from tests.support.quantised import kernel

CANDIDATES = {"percentile 90": calibrator("percentile", percent=90.0), "mse": CALIBRATORS["mse"]}


def case():
    """Two convolutions whose outputs share a grid in a Concat, and one that moves nothing."""
    body = "a = Conv(x, w)\n b = Conv(x, v)\n c = Concat<axis = 1>(a, b)\n y = Conv(c, u)"
    weights = {"w": kernel(4, 4, 1, 1, seed=1), "v": kernel(4, 4, 1, 1, seed=2), "u": kernel(2, 8, 1, 1, seed=3)}
    data = images()
    prepared = prepare(graphs.graph(body, x="float[1,4,9,9]", **weights))
    return calibrated(prepared, data), observed(prepared, data)


@pytest.mark.parametrize("halved", [False, True], ids=["as observed", "narrower already"])
def test_every_candidate_lies_within_what_is_known(halved):
    given, seen = case()
    if halved:  # as a clipping calibrator that the user chose
        halves = {name: Range(span.minimum / 2, span.maximum / 2) for name, span in given.ranges.ranges.items()}
        given = candidate(given.prepared, halves)
    ranges = given.ranges.ranges
    found = list(group_ranges(given, seen, CANDIDATES))
    assert found
    for grid in found:
        assert next(iter(grid.spans)) == SAFE
        assert grid.spans.keys() == grid.of_tensors.keys()
        assert len(set(grid.spans.values())) == len(grid.spans)
        for name, tensors in grid.of_tensors.items():
            whole, span = grid.spans[SAFE], grid.spans[name]
            assert whole.minimum <= span.minimum <= span.maximum <= whole.maximum
            for tensor, own in tensors.items():
                assert ranges[tensor].minimum <= own.minimum <= own.maximum <= ranges[tensor].maximum


def test_tensors_on_one_grid_are_narrowed_together():
    found = {grid.points: grid for grid in group_ranges(*case(), CANDIDATES)}
    assert ("a", "b") in found or any({"a", "b"} <= set(grid.of_tensors[SAFE]) for grid in found.values())
    assert sorted(point for points in found for point in points) == sorted({p for points in found for p in points})


def test_a_candidate_that_chooses_the_same_range_is_left_out():
    assert not list(group_ranges(*case(), {"again": CALIBRATORS["minmax"]}))
