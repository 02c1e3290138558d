import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantseg.report import roofline as words
from quantseg.report import tables
from quantseg.runtimes import RUNTIMES, roofline
from quantseg.runtimes.execution import KINDS, ExecutedNode
from quantseg.runtimes.products import CONVOLUTIONS, Product
from quantseg.runtimes.roofline import Roof, Roofs
from quantseg.runtimes.roofline.roofs import SIZES
from tests.support.sample_report import CONVOLUTIONS as SAMPLE
from tests.support.sample_report import ROOFS

FIRST = Product(2_000_000_000, (16, 32), (3, 3), 1, (1, 64, 64))


def node(kind: Any = "int8", *, seconds: float = 0.004, share: float = 0.5, **changes: Any) -> ExecutedNode:
    content = {"name": "c", "op_type": "QLinearConv", "domain": "", "product": FIRST, **changes}
    return ExecutedNode(kind=kind, seconds=seconds, share=share, **content)


class FakeRuntime:
    """Answers with the speeds of one round after another, in multiply-accumulates per second of every product."""

    def __init__(self, *speeds: float) -> None:
        self.speeds, self.asked = list(speeds), []

    def executed(self, model: bytes, feeds: Any, *, threads: int, runs: int) -> tuple[ExecutedNode, ...]:
        time.sleep(0.05)
        self.asked.append((threads, runs))
        speed = self.speeds[min(len(self.asked), len(self.speeds)) - 1]
        macs = [rows * depth * columns for rows, depth, columns in SIZES]
        return tuple(
            node(name=f"y{k}", seconds=m / speed / (2 if k == 1 else 1), share=0.2) for k, m in enumerate(macs)
        )


# The roof


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
def test_the_roof_is_measured_in_bounded_time(threads: int) -> None:
    start = time.perf_counter()
    roofs = roofline.measure_roofs(RUNTIMES["onnxruntime"], threads=threads)
    assert time.perf_counter() - start < 30  # about half a second, on a machine that has time
    assert (roofs.int8.kind, roofs.float32.kind) == ("int8", "float")
    for roof in (roofs.int8, roofs.float32):
        assert roof.macs_per_second > 1e8
        assert roof.size in SIZES


def test_all_products_together_are_a_small_piece_of_macs() -> None:
    """Five runs of it in either type: half a second at 50 GMAC/s, which one core without VNNI reaches."""
    assert sum(rows * depth * columns for rows, depth, columns in SIZES) < 5.1e9


def test_the_best_round_and_the_best_size_are_the_roof() -> None:
    runtime = FakeRuntime(1e11, 3e11, 2e11)
    roofs = roofline.measure_roofs(runtime, threads=3)  # type: ignore[arg-type]
    assert roofs.int8 == Roof("int8", pytest.approx(6e11), SIZES[1])
    assert {threads for threads, _ in runtime.asked} == {3}
    assert len(runtime.asked) < 20


def test_the_better_roof_of_before_and_after_counts() -> None:
    runtime = FakeRuntime(1e11)

    def work() -> str:
        runtime.speeds = [2e11]
        return "done"

    done, roofs = roofline.beside_roofs(work, runtime, threads=1)  # type: ignore[arg-type]
    assert done == "done"
    assert roofs.float32.macs_per_second == pytest.approx(4e11)


# What is held against it


def test_the_fraction_is_of_the_roof_of_the_kind() -> None:
    assert roofline.fraction_of_roof([node()], ROOFS) == pytest.approx(2e9 / 0.004 / 1.25e12)
    assert roofline.fraction_of_roof([node("float")], ROOFS) == pytest.approx(2e9 / 0.004 / 1.5e11)
    assert roofline.fraction_of_roof([node(product=None)], ROOFS) is None
    assert roofline.fraction_of_roof([], ROOFS) is None


NODES = st.lists(
    st.builds(
        node,
        st.sampled_from(KINDS),
        seconds=st.floats(1e-6, 1),
        op_type=st.sampled_from(sorted(CONVOLUTIONS)),
        product=st.builds(replace, st.just(FIRST), macs=st.integers(1, 10**12)),
    ),
    min_size=1,
)


@given(NODES)
def test_the_fraction_of_many_lies_between_those_of_each(nodes: list[ExecutedNode]) -> None:
    each = [roofline.fraction_of_roof([one], ROOFS) or 0.0 for one in nodes]
    together = roofline.fraction_of_roof(nodes, ROOFS)
    assert together is not None
    assert min(each) * 0.999999 <= together <= max(each) * 1.000001


@given(NODES, st.randoms())
def test_the_order_of_the_nodes_does_not_matter(nodes: list[ExecutedNode], random: Any) -> None:
    named = [replace(one, name=str(k)) for k, one in enumerate(nodes)]
    mixed = random.sample(named, len(named))
    assert roofline.convolutions(named) == roofline.convolutions(mixed)
    assert words.slowest(named, ROOFS) == words.slowest(mixed, ROOFS)


def test_only_convolutions_are_held_against_it_the_slowest_first() -> None:
    nodes = [node(name="a", seconds=1.0), node(name="m", op_type="MatMul"), node(name="b", seconds=2.0)]
    assert [one.name for one in roofline.convolutions(nodes)] == ["b", "a"]


# What is said


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        ([], "no convolutions ran"),
        ([node(op_type="MatMul")], "no convolutions ran"),
        (
            [node(), node(seconds=0.006, share=0.41), node(op_type="Relu", share=0.09)],
            "convolutions take 91.0 % of the time and run at 0.40 TMAC/s, "
            "32.0 % of this machine's best int8 matrix product, 1.25 TMAC/s",
        ),
        (
            [node("float", seconds=0.1, op_type="Conv")],
            "convolutions take 50.0 % of the time and run at 20.0 GMAC/s, "
            "13.3 % of this machine's best float matrix product, 0.15 TMAC/s",
        ),
        (
            [node(share=0.3), node("float", seconds=0.04, share=0.3)],
            "convolutions take 60.0 % of the time and run at 90.9 GMAC/s, "
            "33.9 % of what this machine's best matrix products reach (int8 1.25 TMAC/s, float 0.15 TMAC/s)",
        ),
        ([node(product=None)], "convolutions take 50.0 % of the time; the runtime does not tell their shapes"),
    ],
)
def test_the_line(nodes: list[ExecutedNode], said: str) -> None:
    assert words.sentence(nodes, ROOFS) == said


@pytest.mark.parametrize(
    ("product", "label"),
    [
        (FIRST, "3x3, 16→32, 64x64"),
        (Product(1, (8, 8), (5, 3), 8, (1, 6, 7)), "5x3 depthwise, 8, 6x7"),
        (Product(1, (8, 16), (3, 3), 8, (1, 6, 7)), "3x3 in 8 groups, 8→16, 6x7"),
        (Product(1, (1, 1), (3,), 1, (4, 9)), "3, 1→1, 9, batch 4"),
        (None, None),
    ],
)
def test_the_shape_in_a_cell(product: Product | None, label: str | None) -> None:
    assert words.label(product) == label


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("/a/Conv_token_12", "/a/Conv"),
        ("relu2_nchwc", "relu2"),
        ("/a/Conv_nchwc_token_3", "/a/Conv"),
        ("Conv_7", "Conv_7"),
        ("_nchwc", "_nchwc"),
    ],
)
def test_what_onnxruntime_hangs_on_a_name_is_left_out(name: str, plain: str) -> None:
    assert words.plain_name(name) == plain


def test_the_table_ends_with_the_rest_in_one_row() -> None:
    nodes = SAMPLE["int8"]
    rows = words.slowest(nodes, ROOFS, limit=12)
    assert rows[0] == ("c0", "3x3, 16→32, 64x64", "4000.0", "12.000", "333", "26.7 %", "60.0 %")
    assert rows[2] == ("c2", None, "–", "1.000", "–", "–", "5.0 %")
    assert rows[-1] == ("… and 13 more", None, "0.0", "0.260", "0", "<0.1 %", "1.3 %")
    assert len(rows) == 13
    assert len(words.slowest(nodes, ROOFS)) == len(words.slowest(nodes, ROOFS, limit=25)) == 25
    for table in (tables.terminal(words.HEADERS, rows), tables.markdown(words.HEADERS, rows)):
        assert max(map(len, table.split("\n"))) <= 100


def test_a_speed_has_the_unit_that_fits() -> None:
    assert [words.rate(value) for value in (None, 4.07e11, 1.25e12, 9.96e10, 4e8)] == [
        "–",
        "0.41 TMAC/s",
        "1.25 TMAC/s",
        "99.6 GMAC/s",
        "0.4 GMAC/s",
    ]


def test_a_roof_is_over_nodes_of_its_kind() -> None:
    roofs = Roofs(Roof("int8", 2.0, SIZES[0]), Roof("float", 1.0, SIZES[0]))
    assert [roofs.over(kind).kind for kind in KINDS] == ["int8", *["float"] * 4]
