"""The bench against itself, against numpy, and without what it needs.

Emulation needs packages: those tests run where they are fetched already, or with QUANTSEG_PROCESSORS_FETCH=1.
"""

import functools
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from quantseg import graph
from tests.processors import PROCESSORS, Task, UnavailableError, available, concealed, packages, ready, run, run_all
from tests.processors.comparing import Replayed, exact_processor
from tests.processors.effect import EXACT, SATURATED, pair_model
from tests.processors.exposing import Count, Differing, cut, differing, exposed, fed
from tests.processors.table import Way
from tests.support import graphs

RNG = np.random.default_rng(15)
CONCEALED = tuple(p.name for p in PROCESSORS.values() if p.way is Way.CONCEALED and not concealed.lacking(p))
"""Those that this machine can be."""
EMULATED = tuple(name for name, processor in PROCESSORS.items() if not processor.native)
NET = graphs.graph(
    """
    q = QuantizeLinear(x, s, z)
    a = QLinearConv <strides = [2, 2], pads = [1, 1, 1, 1]> (q, s, z, w, sw, zw, t, zt)
    b = QLinearConv (a, t, zt, v, sv, zv, t, zt)
    y = DequantizeLinear(b, t, zt)
    """,
    x="float[1,17,9,9]",
    y="float[1,4,5,5]",
    s=np.float32(1 / 255),
    z=np.uint8(0),
    t=np.float32(0.04),
    zt=np.uint8(99),
    w=RNG.integers(90, 128, (8, 17, 3, 3)).astype(np.int8) * RNG.choice([-1, 1], (8, 1, 1, 1)).astype(np.int8),
    sw=np.float32(0.0004),
    zw=np.int8(0),
    v=RNG.integers(-127, 128, (4, 8, 1, 1)).astype(np.int8),
    sv=np.float32(0.001),
    zv=np.int8(0),
)
"""Two convolutions whose pair sums saturate; 17 channels, so that pairs cross taps."""
IMAGES = [{"x": RNG.random((1, 17, 9, 9), np.float32)} for _ in range(3)]
Array = NDArray[np.generic]


def needed(*names: str) -> None:
    """Skips the test where a processor is not to be had."""
    for name in names:
        reason = (ready if os.environ.get("QUANTSEG_PROCESSORS_FETCH") else available)(name)
        if reason is not None:
            pytest.skip(reason)


@functools.cache
def ran(name: str) -> tuple[Array, list[dict[str, Array]]]:
    """The products of the pair model, and the integers of NET for each image, from one process."""
    pair = Task(pair_model(), [{"a": np.full((16, 16), 255, np.uint8)}])
    products, images = run_all(name, [pair, Task(exposed(NET).model, IMAGES)])
    return products[0]["y"], images


def integers(name: str) -> list[dict[str, Array]]:
    return ran(name)[1]


@functools.cache
def exact() -> list[dict[str, Array]]:
    """Where this machine's own sums saturate, another's are needed."""
    try:
        return integers(exact_processor())
    except UnavailableError as error:
        pytest.skip(str(error))


def differ(mine: list[dict[str, Array]], other: list[dict[str, Array]]) -> int:
    made = exposed(NET)
    return sum(differing(a, b, made)[0].differ for a, b in zip(mine, other, strict=True))


@pytest.mark.parametrize("name", [*CONCEALED, *EMULATED])
def test_a_processor_adds_pairs_as_the_table_says(name: str) -> None:
    needed(name)
    assert (ran(name)[0] == (SATURATED if PROCESSORS[name].saturates else EXACT)).all()


@pytest.mark.parametrize("name", [name for name in EMULATED if not PROCESSORS[name].saturates])
def test_where_sums_are_exact_integers_are_the_same(name: str) -> None:
    needed(name)
    assert differ(exact(), integers(name)) == 0


def test_concealed_kernels_are_those_of_the_emulated_processor() -> None:
    needed("avx2", "avx2-native")
    mine, other = integers("avx2-native"), integers("avx2")
    assert differ(mine, other) == 0
    assert all(np.array_equal(a["y"], b["y"]) for a, b in zip(mine, other, strict=True))
    assert differ(exact(), mine) > 0


@pytest.mark.parametrize("name", CONCEALED)
def test_concealed_kernels_add_pairs_in_saturating_16_bits(name: str) -> None:
    """Beside numpy: neighbours along K, clipped to int16, then added."""
    needed(name)
    feeds = [{"a": RNG.integers(0, 256, (5, 34)).astype(np.uint8)} for _ in range(20)]
    made = run(name, graph.to_bytes(graphs.parse(PRODUCT, b=WEIGHT)), feeds)
    for feed, found in zip(feeds, made, strict=True):
        products = feed["a"].astype(np.int32)[:, :, None] * WEIGHT.astype(np.int32)
        pairs = np.clip(products[:, ::2] + products[:, 1::2], -(2**15), 2**15 - 1)
        assert np.array_equal(found["y"], pairs.sum(axis=1))
        assert not np.array_equal(found["y"], products.sum(axis=1))


WEIGHT = RNG.integers(-127, 128, (34, 40)).astype(np.int8)
PRODUCT = """<ir_version: 8, opset_import: ["": 17]> g (uint8[5,34] a) => (int32[5,40] y) { y = MatMulInteger(a, b) }"""


def test_a_session_setting_reaches_the_guest() -> None:
    """u8·u8 kernels are exact."""
    needed("avx2-native")
    made = run("avx2-native", graph.to_bytes(NET), IMAGES, config={"session.x64quantprecision": "1"})
    assert all(np.array_equal(a["y"], b["y"]) for a, b in zip(exact(), made, strict=True))


def test_tasks_and_images_keep_their_order() -> None:
    one, two = (graphs.graph("y = Mul(x, c)", x="float[2]", y="float[2]", c=np.float32(c)) for c in (2, 3))
    feeds = [{"x": np.array([k, -k], np.float32)} for k in range(3)]
    found = run_all("here", [Task(graph.to_bytes(model), feeds) for model in (one, two)])
    for times, images in zip((2, 3), found, strict=True):
        assert [image["y"].tolist() for image in images] == [[times * k, -times * k] for k in range(3)]


def test_only_the_outputs_asked_for_come_back() -> None:
    model = graphs.graph("y = Neg(x) z = Abs(x)", x="float[2]", y="float[2] z, float[2]")
    (found,) = run("here", graph.to_bytes(model), [{"x": np.array([1, -2], np.float32)}], ["z"])
    assert {name: array.tolist() for name, array in found.items()} == {"z": [1, 2]}


def test_a_model_that_does_not_run_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"here: .*(INVALID|Protobuf|parse)"):
        run("here", b"no model", [{}])


def test_an_unknown_processor_gets_the_list() -> None:
    with pytest.raises(ValueError, match=r"'z80' is no processor of the bench; choose here, .*, wasm"):
        available("z80")


@pytest.mark.parametrize("name", EMULATED)
def test_what_is_not_fetched_is_named_in_a_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QUANTSEG_PROCESSORS", str(tmp_path))
    reason = available(name)
    assert reason is not None
    assert reason.startswith(f"{name}: ")
    assert "not fetched" in reason
    with pytest.raises(UnavailableError, match="not fetched"):
        run(name, pair_model(), [])


@pytest.mark.parametrize("name", EMULATED)
def test_without_package_managers_there_is_a_reason_and_nothing_left_behind(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUANTSEG_PROCESSORS", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    reason = ready(name)
    assert reason is not None
    assert "\n" not in reason
    assert "is not installed" in reason
    assert list(tmp_path.iterdir()) == []


def test_a_piece_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    def fails(whole: Path) -> None:
        (whole / "half").touch()
        raise UnavailableError("no network")

    with pytest.raises(UnavailableError, match="no network"):
        packages.made(tmp_path / "piece", fails)
    assert list(tmp_path.iterdir()) == []
    packages.made(tmp_path / "piece", lambda whole: (whole / "all").touch())
    assert packages.made(tmp_path / "piece", fails) == tmp_path / "piece"
    assert (tmp_path / "piece" / "all").exists()


def test_a_command_that_fails_is_told_in_a_line() -> None:
    with pytest.raises(UnavailableError, match=r"^sh: E: no such package$"):
        packages.command(["sh", "-c", "echo 'E: no such package' >&2; echo more >&2; exit 100"])


@given(st.binary(max_size=200))
def test_a_library_without_the_question_is_left_alone(content: bytes) -> None:
    with pytest.raises(UnavailableError, match=r"leaf 7\.1 in 0 places"):
        concealed.concealed(content, wide=False)


LEAF = bytes.fromhex("b807000000b9010000000fa2a810")
ASKING = bytes.fromhex("31c90f01d0") + b"\x90" * 40 + LEAF + bytes.fromhex("4181e1000000030f85") + b"\x90" * 9
WHOLE = ASKING + bytes.fromhex("81e700080000")


@given(st.binary(max_size=50), st.binary(max_size=50))
def test_only_the_answers_are_changed(before: bytes, after: bytes) -> None:
    content = before + b"\xf4" * 8 + WHOLE + b"\xf4" * 8 + after
    for wide, changed in ((False, 3 + 12), (True, 1 + 1 + 12)):
        made = concealed.concealed(content, wide=wide)
        assert len(made) == len(content)
        assert sum(a != b for a, b in zip(made, content, strict=True)) <= changed
        assert made[: len(before)] == before
        assert made.endswith(after)
        with pytest.raises(UnavailableError):
            concealed.concealed(made, wide=wide)


@pytest.mark.parametrize(
    ("content", "wide", "what"),
    [
        (LEAF, False, "xgetbv in 0"),
        (ASKING + LEAF, False, "leaf 7.1 in 2"),
        (ASKING, True, "AVX512_VNNI in 0"),
        (LEAF + bytes.fromhex("81e700080000"), True, "AMX in 0"),
        (b"\x31\xc9\x0f\x01\xd0" + b"\x90" * 4096 + LEAF, False, "xgetbv in 0"),
    ],
)
def test_what_is_not_found_once_is_named(content: bytes, wide: bool, what: str) -> None:
    with pytest.raises(UnavailableError, match=f"{what} places, not in one"):
        concealed.concealed(content, wide=wide)


def test_integers_that_differ_are_counted_by_node() -> None:
    made = exposed(NET)
    assert set(made.makers) == {"q", "a", "b"}
    assert made.outputs[0] == "y"
    assert not made.borders
    (mine, *_) = integers("here")
    other = dict(mine) | {"a": mine["a"].copy()}
    other["a"].reshape(-1)[:3] ^= 1
    exact, behind = differing(mine, other, made)
    size = sum(mine[name].size for name in "qab")
    assert exact == Count(3, size, (Differing(made.makers["a"].name, "QLinearConv", 3),))
    assert behind == Count()


def test_integers_behind_a_float_operator_are_counted_apart() -> None:
    model = graphs.graph(
        "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) e = Exp(d) p = QuantizeLinear(e, s, z) "
        "y = DequantizeLinear(p, s, z)",
        x="float[4]",
        y="float[4]",
        s=np.float32(1 / 64),
        z=np.uint8(0),
    )
    made = exposed(model)
    assert set(made.makers) == {"q", "p"}
    assert made.borders == {"p"}
    one = {"q": np.zeros(4, np.uint8), "p": np.zeros(4, np.uint8)}
    exact, behind = differing(one, one | {"p": np.ones(4, np.uint8)}, made)
    assert (exact.differ, exact.values, behind.differ, behind.values) == (0, 4, 4, 4)


def test_a_model_cut_everywhere_and_fed_its_own_integers_makes_them_again() -> None:
    for own, made in zip(IMAGES, integers("here"), strict=True):
        model, names = cut(NET, made, exposed(NET).makers)
        assert names == ("q", "a", "b")
        (again,) = run("here", model, [own | fed(made, names)])
        assert all(np.array_equal(again[name], made[name]) for name in made)


def test_a_node_behind_a_cut_reads_what_it_is_fed() -> None:
    (made, *_) = integers("here")
    model, names = cut(NET, made, ("a",))
    assert names == ("a",)
    (again,) = run(
        "here", model, [IMAGES[0] | {name: np.zeros_like(array) for name, array in fed(made, names).items()}]
    )
    assert np.array_equal(again["a"], made["a"])
    assert not np.array_equal(again["b"], made["b"])
    assert all(len(np.unique(channel)) == 1 for channel in again["b"][0])


counts = st.builds(
    lambda nodes: Count(sum(nodes.values()), 9, tuple(Differing(n, "Op", k) for n, k in nodes.items())),
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 9)),
)


@given(counts, counts, counts)
def test_counts_add_in_any_grouping(a: Count, b: Count, c: Count) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + Count() == a == Count() + a
    assert sum(node.differ for node in (a + b).nodes) == (a + b).differ


def test_a_replayed_session_answers_image_by_image() -> None:
    session = Replayed((), [{"y": np.array(0)}, {"y": np.array(1), "z": np.array(2)}])
    assert session.run({}) == [0]
    assert session.run({}, ["z"]) == [2]
