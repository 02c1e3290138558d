"""Timing of parts: what is cut out, by which key it is known, what is kept on disk, and which fallbacks are taken."""

import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from quantseg.errors import PlanError
from quantseg.graph.preparation import Prepared, prepare
from quantseg.mixed_precision import latency_model as costs
from quantseg.mixed_precision.latency_model import cache, cutting, trials
from quantseg.mixed_precision.latency_model.cache import Machine
from quantseg.mixed_precision.latency_model.stopwatch import Cost, timed
from quantseg.mixed_precision.latency_model.trials import Trial, Way
from quantseg.mixed_precision.latency_model.units import Unit, sized, units_of
from quantseg.quantization.affine import params_of_weights
from quantseg.quantization.formats import FORMATS
from quantseg.quantization.plan import KeptFloat, Overrides, QuantSettings
from quantseg.quantization.plan.decisions import ONLY_THE_HEAD, decide
from quantseg.quantization.qtypes import INT8
from quantseg.runtimes import RUNTIMES, Runtime
from quantseg.runtimes.execution import ExecutedNode
from tests.support import graphs
from tests.support.candidates import candidate as candidate_of
from tests.support.fake_runtime import FAST_INTEGERS, Fake
from tests.support.quantised import kernel

ORT = RUNTIMES["onnxruntime"]
SETTINGS = QuantSettings()
SHAPE = {"x": (1, 3, 16, 16)}


def net(x: str = "float[N,3,H,W]") -> Prepared:
    """Conv, Relu, MaxPool, Conv, Add of the last two, Conv, Sigmoid; sizes open but for the channels."""
    model = graphs.graph(
        """a = Conv<pads=[1,1,1,1]>(x, w1, b1) r = Relu(a) m = MaxPool<kernel_shape=[2,2],strides=[2,2]>(r)
           c = Conv<pads=[1,1,1,1]>(m, w2) s = Add(c, m) d = Conv(s, w3) y = Sigmoid(d)""",
        x=x,
        w1=kernel(8, 3, 3, 3, seed=1),
        b1=np.linspace(-1, 1, 8, dtype=np.float32),
        w2=kernel(8, 8, 3, 3, seed=2),
        w3=kernel(4, 8, 1, 1, seed=3),
    )
    return prepare(model)


CHAIN = ["ConvInteger", "Cast"]
NET = candidate_of(net(), {})
"""Without ranges: where nodes compute does not depend on them."""


def units(model: Prepared, inputs: Mapping[str, Sequence[int]] = SHAPE) -> dict[str, Unit]:
    """By the first letter of what they write."""
    return {str(unit.nodes[-1].outputs[0].name): unit for unit in units_of(sized(model.model, inputs).graph)}


def bench(runtime: Runtime, kept: Path | None = None) -> costs.Bench:
    return costs.Bench(runtime, 1, kept)


# Units and candidates.


def test_every_node_is_in_one_unit_and_clamps_are_with_what_they_fold_into() -> None:
    graph = sized(net().model, SHAPE).graph
    found = [[node.op_type for node in unit.nodes] for unit in units_of(graph)]
    assert found == [["Conv", "Relu"], ["MaxPool"], ["Conv"], ["Add"], ["Conv"], ["Sigmoid"]]
    assert [node for unit in units_of(graph) for node in unit.nodes] == list(graph)


def test_open_sizes_are_fixed_from_the_image() -> None:
    assert str(units(net())["s"].results[0].shape) == "[1,8,8,8]"
    assert trials.in_float(units(net(), {})["s"], 13) is None  # height and width stay open


@pytest.mark.parametrize("qformat", FORMATS)
def test_a_part_in_integers_is_written_as_the_format_writes_it(qformat: str) -> None:
    """Nothing but the unit's own integer operators between the borders: no transpose, no float operator left."""
    for unit in units(net()).values():
        for candidate in trials.in_integers(unit, 13, Way(qformat, SETTINGS)).values():
            nodes = [n.op_type for n in cutting.own_nodes(candidate.build(), unit.names)]
            inner = [op for op in nodes if op not in ("QuantizeLinear", "DequantizeLinear")]
            if "ConvInteger" in inner:  # behind what unfolds its input, with what requantises its sums
                unbiased = [op for op in inner if op != "Add"]
                assert unbiased in (CHAIN, ["Pad", *["Slice"] * 9, "Concat", *CHAIN])
                continue
            assert len(inner) == 1, nodes
            assert inner[0].removeprefix("QLinear").removeprefix("Nhwc") == unit.op_type


@pytest.mark.parametrize("qformat", FORMATS)
def test_every_candidate_runs_and_takes_time(qformat: str) -> None:
    way = Way(qformat, SETTINGS)
    parts = [c for unit in units(net()).values() for c in trials.in_integers(unit, 13, way).values()]
    floats = [c for unit in units(net()).values() if (c := trials.in_float(unit, 13))]
    borders = [c for unit in units(net()).values() for c in trials.crossings(unit.results[0], way) or ()]
    found = timed([*parts, *floats, *borders], {}, runtime=ORT, threads=1)
    assert all(cost is not None for cost in found.values())
    assert sum(cost.work for cost in found.values() if cost) > 0


def test_borders_of_a_part_are_not_its_own_cost() -> None:
    unit = units(net())["c"]
    (candidate,) = trials.in_integers(unit, 13, Way("qoperator", SETTINGS)).values()
    found = timed([candidate], {}, runtime=Fake({"QLinearConv": 3.0, "QuantizeLinear": 50.0}), threads=1)
    assert found[candidate.key] == Cost(3_000_000)


def test_what_the_runtime_lays_out_anew_is_told_apart() -> None:
    candidate = trials.in_float(units(net())["c"], 13)
    assert candidate is not None

    class Blocked(Fake):
        def executed(self, *_: Any, **__: Any) -> tuple[ExecutedNode, ...]:
            times = {"ReorderInput": 1.0, "Conv": 5.0, "ReorderOutput": 2.0}
            return tuple(ExecutedNode(op, op, "", "other", 1e-3 * ms, 0.0) for op, ms in times.items())

    assert timed([candidate], {}, runtime=Blocked(), threads=1) == {
        candidate.key: Cost(5_000_000, before=1_000_000, after=2_000_000)
    }


def test_the_least_of_the_rounds_counts_and_there_is_one_more_where_they_differ() -> None:
    candidate = Trial("c", lambda: cutting.float_model(units(net())["d"], 13))
    runtime = Fake()
    times = iter([5.0, 3.0, 4.0])

    class Noisy(Fake):
        def executed(self, *given: Any, **named: Any) -> tuple[ExecutedNode, ...]:
            self.milliseconds = {"Conv": next(times)}
            return super().executed(*given, **named)

    assert timed([candidate, candidate], {}, runtime=Noisy(), threads=1) == {"c": Cost(3_000_000)}
    assert next(times, None) is None  # the first two differ, so a third was asked for
    times = iter([5.0, 5.2, 1.0])
    assert timed([candidate], {}, runtime=Noisy(), threads=1) == {"c": Cost(5_000_000)}
    assert timed([candidate], {"c": Cost(1)}, runtime=runtime, threads=1) == {}
    assert runtime.asked == 0


# Keys: what is equal is timed once.


def keys(body: str, x: str = "float[1,4,8,8]", *, way: Way | None = None, **weights: NDArray[Any]) -> list[str]:
    graph = sized(prepare(graphs.graph(body, x=x, **weights)).model, {}).graph
    return [
        candidate.key
        for unit in units_of(graph)
        for candidate in trials.in_integers(unit, 13, way or Way("qoperator", SETTINGS)).values()
    ]


def test_names_and_weights_are_not_in_the_key() -> None:
    one, two = keys(
        "first = Conv(x, w1) y = Conv(first, w2)", w1=kernel(4, 4, 1, 1, seed=1), w2=kernel(4, 4, 1, 1, seed=2)
    )
    assert one == two


def test_what_changes_the_time_is_in_the_key() -> None:
    weights = {"w1": kernel(4, 4, 3, 3)}
    base = keys("y = Conv(x, w1)", **weights)
    other = [
        keys("y = Conv<pads=[1,1,1,1]>(x, w1)", **weights),
        keys("y = Conv(x, w1)", "float[1,4,9,8]", **weights),
        keys("y = Conv(x, w1)", w1=kernel(8, 4, 3, 3)),
        keys("y = Conv(x, w1, b)", b=np.ones(4, np.float32), **weights),
        keys("z = Conv(x, w1) y = Relu(z)", **weights),
        keys("y = Conv(x, w1)", way=Way("qdq", SETTINGS), **weights),
        keys("y = Conv(x, w1)", way=Way("qoperator", QuantSettings(per_channel=False)), **weights),
    ]
    assert len({tuple(found) for found in [base, *other]}) == len(other) + 1


def test_constants_that_are_no_weights_are_in_the_key() -> None:
    def pad(before: int) -> list[str]:
        return keys('y = Pad<mode="reflect">(x, p)', p=np.array([0, 0, before, 0, 0, 0, 3 - before, 0], np.int64))

    assert pad(1) != pad(2)


# On disk.

MACHINE = Machine("a processor", "fake 1", 2, "formats")
FOUND = {"b": Cost(2, 3, 4), "a": Cost(1), "none": None}


def test_costs_survive_the_disk(tmp_path: Path) -> None:
    cache.write(tmp_path, MACHINE, FOUND)
    assert cache.read(tmp_path, MACHINE) == FOUND
    assert [path.name for path in tmp_path.iterdir()] == [MACHINE.file_name]


def test_each_machine_has_its_file(tmp_path: Path) -> None:
    machines = [
        MACHINE,
        Machine("another", "fake 1", 2, "formats"),
        Machine("a processor", "fake 2", 2, "formats"),
        Machine("a processor", "fake 1", 1, "formats"),
        Machine("a processor", "fake 1", 2, "other formats"),
    ]
    for number, machine in enumerate(machines):
        cache.write(tmp_path, machine, {"a": Cost(number)})
    assert [cache.read(tmp_path, machine)["a"] for machine in machines] == [Cost(n) for n in range(5)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b"[" * 200_000,
        b'{"quantseg_costs": 0}',
        json.dumps({**MACHINE.to_json(), "nanoseconds": {"a": [1, 2]}}).encode(),
        json.dumps({**MACHINE.to_json(), "nanoseconds": {"a": [1, 2, -3]}}).encode(),
        json.dumps({**MACHINE.to_json(), "nanoseconds": {"a": [1, 2, "3"]}}).encode(),
        json.dumps({**MACHINE.to_json(), "nanoseconds": [1]}).encode(),
        json.dumps({**MACHINE.to_json(), "processor": "foreign", "nanoseconds": {"a": [1, 2, 3]}}).encode(),
    ],
)
def test_a_damaged_or_foreign_file_is_ignored_and_rewritten(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / MACHINE.file_name
    path.write_bytes(content)
    assert cache.read(tmp_path, MACHINE) == {}
    assert len(caplog.messages) == 1
    assert "\n" not in caplog.messages[0]
    cache.write(tmp_path, MACHINE, FOUND)
    assert cache.read(tmp_path, MACHINE) == FOUND


def test_writers_at_once_lose_no_file(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for step in range(5):
            cache.write(tmp_path, MACHINE, {f"{number}.{step}": Cost(number)})

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kept = cache.read(tmp_path, MACHINE)
    assert kept
    assert all(cost == Cost(int(key.split(".")[0])) for key, cost in kept.items())
    assert [path.name for path in tmp_path.iterdir()] == [MACHINE.file_name]  # and no temporary one


def test_a_writer_keeps_what_another_wrote_before(tmp_path: Path) -> None:
    cache.write(tmp_path, MACHINE, {"a": Cost(1)})
    cache.write(tmp_path, MACHINE, {"b": Cost(2)})
    assert cache.read(tmp_path, MACHINE) == {"a": Cost(1), "b": Cost(2)}


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    cache.write(tmp_path / "file" / "folder", MACHINE, FOUND)
    assert len(caplog.messages) == 1


# The fit: everything together, in a made-up runtime.


def test_fast_integers_are_taken(tmp_path: Path) -> None:
    found = costs.fit(NET, SHAPE, bench(Fake(FAST_INTEGERS), tmp_path))
    assert found.fit.qformat == "channels-last"
    assert list(found.by_parts.overrides.kept_float.values()) == [f"Sigmoid: {ONLY_THE_HEAD}"]
    assert not found.fit.notes


def test_the_second_time_nothing_is_timed_and_the_same_comes_out(tmp_path: Path) -> None:
    first = costs.fit(NET, SHAPE, bench(Fake(FAST_INTEGERS), tmp_path))
    again = Fake({"Conv": 0.0})  # another would come out if it were asked
    assert costs.fit(NET, SHAPE, bench(again, tmp_path)) == first
    assert again.asked == 0


def test_without_a_folder_nothing_is_kept(tmp_path: Path) -> None:
    runtime = Fake(FAST_INTEGERS)
    costs.fit(NET, SHAPE, bench(runtime))
    before = runtime.asked
    costs.fit(NET, SHAPE, bench(runtime))
    assert runtime.asked == 2 * before > 0


def test_latency_first_rounds_the_answer_where_that_is_faster() -> None:
    found = costs.fit(NET, SHAPE, bench(Fake(FAST_INTEGERS)), objective="latency-first")
    assert not found.by_parts.overrides.kept_float


def test_int8_everywhere_times_nothing() -> None:
    runtime = Fake()
    found = costs.fit(NET, SHAPE, bench(runtime), objective="int8-everywhere")
    assert runtime.asked == 0
    assert found.by_parts.overrides.integer == {str(node.name) for node in net().model.graph}


def test_what_was_measured_goes_with_both_placements() -> None:
    found = costs.fit(NET, SHAPE, bench(Fake(FAST_INTEGERS)))
    by_parts, by_rule = found.by_parts.overrides.fit, found.by_rule.overrides.fit
    assert (by_parts.by_parts, by_rule.by_parts) == (True, False)
    assert by_parts == replace(by_rule, by_parts=True) == found.fit
    assert {cost.node for cost in by_parts.costs} <= {str(node.name) for node in NET.prepared.model.graph}
    assert NET.overrides == Overrides()


@pytest.mark.parametrize("objective", ["measured", "latency-first", "int8-everywhere"])
def test_a_node_that_stays_float_for_its_own_reason_stays_so_whatever_is_measured(objective: costs.Objective) -> None:
    """Whether the masks, the search or nobody keeps it float: no time of a part takes that back or renames it."""
    (pool,) = (str(node.name) for node in NET.prepared.model.graph if node.op_type == "MaxPool")
    conv = next(str(node.name) for node in NET.prepared.model.graph if node.op_type == "Conv")
    reasons = {pool: "the masks need it", conv: "the search left it float"}
    grid = params_of_weights(kernel(8, 8, 3, 3), INT8, axis=0)
    kept = replace(NET, overrides=Overrides(kept_float=reasons, weights={"c": grid}))
    lacking = Fake(FAST_INTEGERS, lacks=("NhwcMaxPool",))  # a reason of measuring for the same node
    found = costs.fit(kept, SHAPE, bench(lacking), objective=objective)
    for one in (found.by_parts, found.by_rule):
        assert reasons.items() <= one.overrides.kept_float.items()
        assert one.overrides.weights == {"c": grid}
        decided = decide(one.prepared, one.settings, one.overrides)
        told = {str(node.name): form.reason for node, form in decided.items() if isinstance(form, KeptFloat)}
        assert reasons.items() <= told.items()


def test_what_the_user_excludes_keeps_that_reason_before_any_override() -> None:
    excluded = replace(NET, settings=QuantSettings(exclude=("MaxPool",)))
    found = costs.fit(excluded, SHAPE, bench(Fake(FAST_INTEGERS)), objective="int8-everywhere")
    decided = decide(found.by_parts.prepared, found.by_parts.settings, found.by_parts.overrides)
    (form,) = (form for node, form in decided.items() if node.op_type == "MaxPool")
    assert form == KeptFloat("excluded by exclude=…")


def test_where_float_is_faster_everywhere_that_is_said() -> None:
    with pytest.raises(PlanError, match="keep the float model"):
        costs.fit(NET, SHAPE, bench(Fake({"QLinearConv": 1.0, "NhwcMaxPool": 1.0, "QLinearAdd": 1.0})))


def test_a_kernel_that_is_not_there_keeps_its_node_float() -> None:
    found = costs.fit(NET, SHAPE, bench(Fake(FAST_INTEGERS, lacks=("NhwcMaxPool",))))
    assert [r for r in found.by_parts.overrides.kept_float.values() if "kernel" in r] == [
        "MaxPool: this onnxruntime has no kernel for its integer form"
    ]


def test_a_runtime_without_the_format_gets_the_portable_one() -> None:
    """As an onnxruntime that was built without its own operators."""
    lacking = Fake(FAST_INTEGERS, lacks=("com.microsoft", "QLinearConv"))
    found = costs.fit(NET, SHAPE, bench(lacking))
    assert found.fit.qformat == "qdq"
    assert len(found.fit.notes) == 1
    assert "QDQ" in found.fit.notes[0]


def test_a_machine_whose_sums_saturate_takes_no_bit_of_any_weight() -> None:
    one, other = (costs.fit(NET, SHAPE, bench(Fake(FAST_INTEGERS, answer=a))) for a in (0.5, 1.0))
    assert one == other
    assert not one.fit.notes


def test_nodes_that_stand_for_nothing_alone_are_placed_by_rule() -> None:
    """Equal compares an image with its own maxima; cut out, they are two tensors of unknown origin."""
    model = graphs.graph(
        """a = Conv<pads=[1,1,1,1]>(x, w) m = MaxPool<kernel_shape=[1,1]>(a) e = Equal(a, m)
           z = Where(e, a, zero) y = Conv(z, v)""",
        x="float[1,3,8,8]",
        w=kernel(8, 3, 3, 3),
        v=kernel(4, 8, 1, 1),
        zero=np.zeros((), np.float32),
    )
    found = costs.fit(candidate_of(model, {}), {}, bench(Fake(FAST_INTEGERS)))
    assert [note for note in found.fit.notes if "rules" in note]


def test_sizes_that_follow_from_the_image_are_computed() -> None:
    """Shape, Slice and Concat are gone; the Resize that they told its sizes can be timed."""
    model = graphs.graph(
        """a = Conv(x, w) s = Shape(x) n = Slice(s, two, four) f = Slice(s, zero, two) t = Concat<axis=0>(f, n)
           y = Resize<mode="nearest">(a, , , t)""",
        x="float[N,3,H,W]",
        w=kernel(3, 3, 3, 3),
        zero=np.array([0], np.int64),
        two=np.array([2], np.int64),
        four=np.array([4], np.int64),
    )
    found = units(prepare(model))
    assert list(found) == ["a", "y"]
    assert str(found["y"].results[0].shape) == "[1,3,16,16]"
    assert trials.in_float(found["y"], 13) is not None


def test_what_numbers_of_a_run_decide_cannot_be_timed() -> None:
    model = graphs.graph(
        "a = Conv(x, w) y = Gather<axis=2>(a, i)", x="int64[2] i, float[1,3,8,8]", w=kernel(3, 3, 1, 1)
    )
    (unit,) = (unit for unit in units(prepare(model), {}).values() if unit.op_type == "Gather")
    assert trials.in_float(unit, 13) is None
