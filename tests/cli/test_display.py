"""What a display says of the stages, loops and time left of a command; the clock is the test's own."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from quantseg.cli.display import Display
from quantseg.progress import Stage, expect, under_way
from quantseg.refinement.levels.passes import FLOAT_NODES, RANGES
from tests.support.command_line import Command


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def display(clock: Clock) -> Display:
    return Display(clock)


def test_the_items_come_unchanged(display: Display) -> None:
    assert list(display("abc", total=3, what="loop")) == ["a", "b", "c"]


def test_before_the_first_loop(display: Display, clock: Clock) -> None:
    clock.now += 12
    assert display.line() == "working, 10 s so far"
    display.plan("one", "two")
    clock.now += 3
    assert display.line() == "read the model, 3 s so far"
    assert display.share is None


def test_a_command_of_one_loop_tells_items_and_time(display: Display, clock: Clock) -> None:
    loop = iter(display(range(4), total=4, what="evaluate"))
    next(loop)
    clock.now += 30
    next(loop)
    assert display.line() == "evaluate: 1 of 4, about 2 min left"
    assert display.share == pytest.approx(0.25)


def test_the_stage_is_told_from_the_loops_name(display: Display, clock: Clock) -> None:
    display.plan("read", "learn", "write")
    list(display(range(2), total=2, what="read"))
    loop = iter(display(range(8), total=8, what="learn"))
    next(loop)
    clock.now += 2
    next(loop)
    assert display.line() == "[2/3] learn: 1 of 8, about 15 s left in this stage"
    inner = iter(display(range(5), total=5, what="look"))
    next(inner)
    assert display.line().startswith("[2/3] learn, look: 0 of 5")
    list(inner)
    assert display.line().startswith("[2/3] learn: 1 of 8")


def test_a_stage_never_goes_back(display: Display) -> None:
    display.plan("one", "two", "one again")
    list(display(range(2), total=2, what="two"))
    list(display(range(2), total=2, what="one"))
    assert display.line().startswith("[2/3] two")


def test_a_name_may_stand_twice_among_the_stages(display: Display) -> None:
    display.plan("outputs", "learn", "outputs")
    for place, name in enumerate(("outputs", "learn", "outputs"), 1):
        list(display(range(2), total=2, what=name))
        assert display.line().startswith(f"[{place}/3] {name}")


def test_the_time_of_later_stages_follows_from_their_work(display: Display, clock: Clock) -> None:
    display.plan("one", "two", "three")
    expect(display, [Stage("one", 10.0), Stage("two", 30.0), Stage("three", 60.0), Stage("of another command", 1e9)])
    loop = iter(display(range(4), total=4, what="one"))
    next(loop)
    clock.now += 5
    next(loop)  # a quarter of stage one, so 20 s for it, 60 s and 120 s for the others
    assert display.line() == "[1/3] one: 1 of 4, about 3 min left"
    assert display.share == pytest.approx(5 / 200)
    clock.now += 15
    list(loop)
    middle = iter(display(range(2), total=2, what="two"))
    next(middle)
    clock.now += 15  # nothing is done yet, but the pace is known
    assert display.line() == "[2/3] two: 0 of 2, about 3 min left"
    assert display.share == pytest.approx(35 / 200)


def test_a_stage_that_is_left_out_takes_no_time(display: Display, clock: Clock) -> None:
    display.plan("one", "two", "three")
    expect(display, [Stage("one", 10.0), Stage("two", 0.0), Stage("three", 10.0)])
    for _ in display(range(2), total=2, what="one"):
        clock.now += 10
    last = iter(display(range(2), total=2, what="three"))
    next(last)
    clock.now += 10
    next(last)
    assert display.line() == "[3/3] three: 1 of 2, about 10 s left"


def test_without_the_work_the_bar_counts_stages(display: Display, clock: Clock) -> None:
    display.plan("one", "two")
    loop = iter(display(range(2), total=2, what="one"))
    next(loop)
    clock.now += 1
    next(loop)
    assert display.share == pytest.approx(0.25)


def test_work_that_is_no_loop(display: Display, clock: Clock) -> None:
    with under_way(display, "fold"):
        clock.now += 11
        assert display.line() == "fold, 10 s so far"
    with under_way(display, "search", total=4) as done:
        clock.now += 4
        done()
        assert display.line() == "search: 1 of 4, about 10 s left"
    assert display.line().startswith("search, ")


def test_a_title_and_odd_names_are_one_line(display: Display) -> None:
    display.plan("one", title="net\n\x1b[31m")
    list(display(range(2), total=2, what="one"))
    assert display.line().isprintable()
    assert display.line().startswith("net")


def test_a_loop_that_fails_is_over(display: Display) -> None:
    with pytest.raises(ValueError, match="no"), under_way(display, "fold"):
        raise ValueError("no")
    list(display(range(3), total=3, what="next"))
    assert display.line().startswith("next")


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ["quantize", "NET", "--data", "IMAGES", "-o", "OUT/m.onnx"],
        ["report", "NET", "--data", "IMAGES", "--peer", "--rounds", 1, "--effort", "fast", "-o", "OUT"],
        ["compare", "NET", "--data", "IMAGES", "--rounds", 1, "--effort", "fast"],
        ["sensitivity", "NET", "--data", "IMAGES", "--no-left-float"],
        ["benchmark", "NET", "--rounds", 1],
        ["search", "NET", "--data", "IMAGES", "--effort", "fast", "--evaluations", 2, "-o", "OUT/m.onnx"],
    ],
    ids=lambda words: words[0],
)
def test_the_stages_that_a_command_announces_are_its_loops(
    quantseg: Command,
    float_model: Path,
    images: Path,
    tmp_path: Path,
    words: list[object],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    planned: list[str] = []
    seen: list[str] = []
    plan, counted = Display.plan, Display._counted

    def planning(self: Display, *names: str, title: str = "") -> None:
        planned[:] = names or planned
        plan(self, *names, title=title)

    def counting(self: Display, items: Iterable[object], loop: Any) -> Iterator[object]:
        seen.append(loop.what)
        return counted(self, items, loop)

    monkeypatch.setattr(Display, "plan", planning)
    monkeypatch.setattr(Display, "_counted", counting)
    places = {"NET": str(float_model), "IMAGES": str(images), "OUT": str(tmp_path)}
    given = [re.sub("NET|IMAGES|OUT", lambda found: places[found[0]], str(word)) for word in words]
    assert quantseg(*given).code in (0, 3)
    assert planned
    first = [name for name in dict.fromkeys(seen) if name in planned]
    left_out = {RANGES, FLOAT_NODES}  # of noise there is little to search
    assert [name for name in planned if name not in left_out] == [name for name in first if name not in left_out]
