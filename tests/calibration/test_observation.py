import functools
import hashlib
import math
import operator
import weakref
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.calibration.engines import Processes
from quantseg.calibration.histogram import Histogram
from quantseg.calibration.observation import SAMPLE_SIZE, ChannelExtrema, Observations, Watch, observe, sample
from quantseg.data import Item
from quantseg.errors import CalibrationError
from quantseg.runtimes import RUNTIMES
from tests.support import models

MODEL = models.text("""
<ir_version: 8, opset_import: ["": 13]>
g (float[N, C, H, W] x) => (float[N, C, H, W] y, float[N, C, H, W] negative) {
  negative = Neg(x)
  y = Relu(negative)
}
""").SerializeToString()
"""Writes many zeros and, where x is 0, a negative one."""
TENSORS = ("x", "negative", "y")


@dataclass(frozen=True)
class Frames:
    """A dataset of arrays in memory, named by the alphabet."""

    tensors: tuple[np.ndarray, ...]
    order: str = "abcdef"

    @property
    def names(self):
        return tuple(self.order[: len(self.tensors)])

    def load(self, index):
        return Item(self.names[index], self.tensors["abcdef".index(self.names[index])], None, None)

    def digest(self, index):
        return hashlib.sha256(self.load(index).tensor.tobytes()).hexdigest()


def frames(count=5, shape=(1, 2, 8, 9), order="abcdef"):
    rng = np.random.default_rng(7)
    drawn = [rng.normal(scale=10**i, size=shape).astype(np.float32).round(3) for i in range(count)]
    drawn[-1][:] = 0  # a black image
    return Frames(tuple(drawn), order)


def watch(dataset, **changes):
    return replace(Watch(MODEL, "x", TENSORS, dataset, RUNTIMES["onnxruntime"], threads=1, alone=True), **changes)


def contents(seen):
    """All of it as text: equal text, equal bytes in a file."""
    channels = {name: (c.minima.tolist(), c.maxima.tolist()) for name, c in seen.channels.items()}
    bins = {
        name: (h.exponent, h.first_bin, h.counts.tolist(), h.minimum, h.maximum) for name, h in seen.histograms.items()
    }
    return repr((bins, channels, seen.images))


@pytest.fixture(scope="module")
def whole():
    return contents(observe(watch(frames())))


# What is observed


def test_it_is_what_numpy_finds_in_all_images_together():
    data = frames()
    seen = observe(watch(data))
    x = np.concatenate(data.tensors)
    for name, values in {"x": x, "negative": -x, "y": np.maximum(-x, 0)}.items():
        assert seen.histograms[name] == Histogram.of(values)
        assert np.array_equal(seen.channels[name].minima, values.min(axis=(0, 2, 3)))
        assert np.array_equal(seen.channels[name].maxima, values.max(axis=(0, 2, 3)))
    assert tuple(seen.histograms) == tuple(seen.channels) == TENSORS
    assert [(i.name, i.digest) for i in seen.images] == [(n, data.digest(k)) for k, n in enumerate("abcde")]


def test_extrema_are_exact_where_only_a_sample_is_counted():
    x = np.zeros((1, 2, 400, 401), np.float32)
    x[0, 1, 0, 2], x[0, 1, 399, 399] = -5, 7  # every third value is counted, and these two stand between
    seen = observe(watch(Frames((x,))))
    h = seen.histograms["x"]
    assert (h.counts.tolist(), h.first_bin) == ([-(-x.size // 3)], 0)
    assert (h.minimum, h.maximum) == (-5, 7)
    assert seen.channels["x"].minima.tolist() == [0, -5]
    assert seen.channels["x"].maxima.tolist() == [0, 7]


@pytest.mark.parametrize(
    ("values", "minima", "maxima"),
    [
        (np.float32(-2), [-2], [-2]),
        (np.array([-1, 4], np.float32), [-1], [4]),
        (np.array([[1, 4], [0, 5]], np.float32), [0, 4], [1, 5]),
        (np.arange(12, dtype=np.float32).reshape(2, 3, 2), [0, 2, 4], [7, 9, 11]),
    ],
)
def test_channels_of_any_rank(values, minima, maxima):
    staged = StagedRuntime(lambda: np.asarray(values))
    seen = observe(watch(frames(1), runtime=staged, tensors=("t",)))
    assert seen.channels["t"].minima.tolist() == minima
    assert seen.channels["t"].maxima.tolist() == maxima
    assert seen.histograms["t"] == Histogram.of(np.asarray(values))


def test_channels_that_differ_between_images_are_none():
    tensors = tuple(np.ones((1, channels, 4, 4), np.float32) for channels in (2, 3, 2))
    seen = observe(watch(Frames(tensors)))
    assert seen.channels["x"].minima.size == seen.channels["x"].maxima.size == 0
    assert seen.histograms["x"].total == 7 * 16


@pytest.mark.parametrize(("bad", "what"), [(np.nan, "NaN"), (np.inf, "infinity"), (-np.inf, "infinity")])
def test_what_is_not_finite_is_named_with_its_image(bad, what):
    data = frames(3)
    data.tensors[1][0, 1, 2, 3] = bad
    with pytest.raises(CalibrationError, match=rf"^x: {what} in this tensor on image b; check the preprocessing"):
        observe(watch(data, finite=frozenset("x")))


def test_the_first_bad_tensor_of_the_graph_is_named():
    """log(x) of a negative value is NaN; the input is not."""
    log = models.text("""
    <ir_version: 8, opset_import: ["": 13]>
    g (float[1, 2, 8, 9] x) => (float[1, 2, 8, 9] log, float[1, 2, 8, 9] y) { log = Log(x)  y = Neg(log) }
    """)
    data = Frames((np.full((1, 2, 8, 9), -1, np.float32),))
    with pytest.raises(CalibrationError, match=r"^log: NaN in this tensor on image a"):
        observe(watch(data, model=log.SerializeToString(), tensors=("x", "log", "y")))


# The same, however it was come by


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2, 3])
def test_worker_processes_change_nothing(workers, whole):
    assert contents(observe(watch(frames()), engine=Processes(workers))) == whole


@pytest.mark.parametrize("order", ["edcba", "baced"])
def test_the_order_of_the_files_changes_nothing(order, whole):
    assert contents(observe(watch(frames(order=order)))) == whole


@pytest.mark.parametrize("died_after", [1, 3, 5])
def test_continuing_after_a_kill_changes_nothing(died_after, whole):
    saved = [Observations.empty()]

    def save(total):
        saved.append(total)
        if len(total.images) == died_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        observe(watch(frames()), on_progress=save)
    rest = []
    again = observe(watch(frames()), seen=saved[-1], on_progress=lambda total: rest.append(len(total.images)))
    assert contents(again) == whole
    assert rest == list(range(died_after + 1, 6))


@functools.cache
def single_observations():
    """One for each image."""
    step = watch(frames())()
    return tuple(step(index) for index in range(5))


@given(st.permutations(range(5)), st.integers(0, 5))
def test_observations_add_in_any_order_and_any_split(order, cut):
    parts = [single_observations()[index] for index in order]
    left, right = (functools.reduce(operator.add, p, Observations.empty()) for p in (parts[:cut], parts[cut:]))
    assert contents(left + right) == contents(functools.reduce(operator.add, single_observations()))
    assert contents(left + Observations.empty()) == contents(left)


def test_an_image_does_not_count_twice():
    one, *_, last = single_observations()
    with pytest.raises(CalibrationError, match=r"^a: was observed in both parts and would count twice"):
        (last + one) + one


def test_which_zero_is_the_least_does_not_depend_on_the_order():
    plus, minus = (watch(Frames((np.full((1, 1, 2, 2), zero, np.float32),)))()(0) for zero in (0.0, -0.0))
    assert contents(replace(plus, images=())) == contents(replace(minus, images=()))


@given(st.lists(st.sampled_from([1, 2, 2, 2]), min_size=2, max_size=5), st.integers(1, 4))
def test_channel_extrema_merge_in_any_order(sizes, cut):
    rng = np.random.default_rng(len(sizes))
    rows = [ChannelExtrema(*np.sort(rng.normal(size=(2, size)), axis=0).astype(np.float32)) for size in sizes]
    left = functools.reduce(operator.or_, rows)
    right = functools.reduce(operator.or_, rows[cut:] + rows[:cut])
    assert np.array_equal(left.minima, right.minima)
    assert np.array_equal(left.maxima, right.maxima)
    assert left.minima.size == (sizes[0] if len(set(sizes)) == 1 else 0)


def test_nothing_to_observe_is_nothing_observed():
    assert contents(observe(watch(Frames(())))) == contents(Observations.empty())


# Streaming


class StagedRuntime:
    """Gives out arrays of its own making, and notes which of them are still held by anyone when the next is made."""

    def __init__(self, make):
        self.make, self.given, self.held = make, [], []

    def open(self, model, *, threads, spinning):
        return self

    def run(self, feeds, outputs):
        self.held.append(sum(reference() is not None for reference in self.given))
        arrays = [self.make() for _ in outputs]
        self.given += map(weakref.ref, arrays)
        return arrays


def test_no_activation_outlives_its_image():
    staged = StagedRuntime(lambda: np.random.default_rng(0).random((1, 4, 64, 64), np.float32))
    observe(watch(frames(6), runtime=staged))
    assert staged.held == [0] * 6


def test_progress_is_shown_and_saved_after_each_image():
    shown, saved = [], []

    def track(parts, *, total, what):
        for done, part in enumerate(parts):
            shown.append((done, total, what))
            yield part

    observe(watch(frames(3)), track=track, on_progress=lambda total: saved.append(len(total.images)))
    assert shown == [(0, 3, "calibrate"), (1, 3, "calibrate"), (2, 3, "calibrate")]
    assert saved == [1, 2, 3]


# The sample


@given(st.integers(1, 40 * SAMPLE_SIZE))
def test_the_sample_is_every_kth_value_with_k_coprime_to_the_size(size):
    taken = sample(np.broadcast_to(np.float32(0), size))
    allowed = [k for k in range(1, max(2, size // SAMPLE_SIZE + 1)) if math.gcd(k, size) == 1]
    assert taken.size == -(-size // max(allowed))
    assert taken.size >= min(size, SAMPLE_SIZE)


@pytest.mark.parametrize("size", [0, 1, SAMPLE_SIZE, 2 * SAMPLE_SIZE - 1, 2 * SAMPLE_SIZE])
def test_up_to_twice_the_sample_all_is_taken(size):
    x = np.arange(size)
    assert np.array_equal(sample(x), x)


def test_the_sample_of_a_square_image_sees_every_row_and_column():
    rows, columns = np.indices((1, 4, 256, 256))[2:]
    assert set(sample(rows)) == set(sample(columns)) == set(range(256))
    assert np.array_equal(sample(rows[:, ::-1]), sample(np.ascontiguousarray(rows[:, ::-1])))


def masked(*where):
    """Images of which those at `where` make an infinity in `negative`, which is no result of a product."""
    made = [np.ones((1, 2, 8, 9), np.float32) * (index + 1) for index in range(4)]
    for index in where:
        made[index][0, 0, 0, 0] = np.inf
    return Frames(tuple(made))


@pytest.mark.parametrize("where", [(0,), (3,), (1, 2), (0, 1, 2, 3)])
def test_an_infinity_leaves_no_histogram_in_any_order_or_split(where):
    data = masked(*where)
    whole = observe(watch(data))
    assert whole.infinite == {"x", "negative"}
    assert whole.tensors == set(TENSORS)
    assert set(whole.histograms) == set(whole.channels) == {"y"}
    parts = [observe(watch(Frames(data.tensors, "abcd"[index]))) for index in range(4)]
    assert functools.reduce(operator.add, parts).infinite == whole.infinite
    backwards = functools.reduce(operator.add, reversed(parts))
    assert set(backwards.histograms) == {"y"}
    assert backwards.histograms["y"] == whole.histograms["y"]


def test_where_an_infinity_may_not_be_it_names_tensor_and_image():
    with pytest.raises(CalibrationError, match="x: infinity in this tensor on image b"):
        observe(watch(masked(1), finite=frozenset({"x"})))


@pytest.mark.parametrize(("stated", "right"), [((1, 2, 4, 4), True), ((None, 2, None, 4), True), ((1, 2, 4), False),
                                               ((1, 3, 4, 4), False), ((), False)])  # fmt: skip
def test_a_tensor_of_another_shape_than_the_graph_states_is_named(stated, right):
    made = watch(Frames((np.ones((1, 2, 4, 4), np.float32),)), shapes={"y": stated})
    if right:
        assert observe(made).histograms["y"].total == 32
        return
    with pytest.raises(CalibrationError, match=r"^y: the model states shape .* and makes \[1, 2, 4, 4\]; export it"):
        observe(made)


@pytest.mark.parametrize("order", ["ab", "ba"])
def test_a_tensor_without_elements_counts_nothing_and_is_known_to_be_one(order):
    """As regions of an image in which nothing is detected."""
    full, none = np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2), np.zeros((0, 3, 2, 2), np.float32)
    both = observe(watch(Frames((full, none), order)))
    alone = observe(watch(Frames((full,))))
    assert both.histograms == alone.histograms
    assert both.unseen == frozenset()
    assert observe(watch(Frames((none,)))).unseen == frozenset(TENSORS)
    assert observe(watch(Frames((none,)))).tensors == frozenset(TENSORS)
