"""The profile and the optimised graph that an onnxruntime session leaves, joined into executed nodes.

The profile has what ran, for how long and on which element types; the graph alone has the operator domains,
which tell the kernels of ONNX from onnxruntime's own (com.microsoft, com.microsoft.nchwc).
"""

import json
import statistics
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from quantseg.runtimes.execution import ExecutedNode, Kind, kind_of

_GRAPH = "optimized.onnx"
_KERNEL = "_kernel_time"
_CONTAINERS = frozenset({"If", "Loop", "Scan"})
"""Their time is that of the nodes in their bodies, which the profile lists one by one."""

Event = Mapping[str, Any]
_Key = tuple[str, str, str]


@contextmanager
def profiled(options: onnxruntime.SessionOptions) -> Iterator[tuple[onnxruntime.SessionOptions, Path]]:
    """The options, with profile and optimised graph sent to a temporary folder that goes at the end."""
    with tempfile.TemporaryDirectory(prefix="quantseg-") as name:
        folder = Path(name)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        options.optimized_model_filepath = str(folder / _GRAPH)
        # Weights go to a file of their own: a protobuf message cannot hold 2 GB, and only nodes are read.
        prefix = "session.optimized_model_external_initializers_"
        options.add_session_config_entry(f"{prefix}file_name", "weights.bin")
        options.add_session_config_entry(f"{prefix}min_size_in_bytes", "1024")
        yield options, folder


def read_profile(folder: Path) -> tuple[ExecutedNode, ...]:
    """The nodes that ran, from the files of one closed session."""
    (profile,) = folder.glob("profile*.json")
    events = json.loads(profile.read_text(encoding="utf-8"))
    graph = onnx.load(folder / _GRAPH, load_external_data=False).graph
    return executed_nodes(events, dict(_domains(graph)))


def executed_nodes(events: Sequence[Event], domains: Mapping[tuple[str, str], str]) -> tuple[ExecutedNode, ...]:
    """The kernels of all runs but the first, in the order of execution, with their median time.

    `events`: the profile, times in microseconds; `domains`: (operator, node name) -> domain. A node that runs
    several times in one run, in the body of a loop, is timed as their sum.
    """
    runs = list(_runs(events))[1:]
    times: dict[_Key, list[int]] = {}
    kinds: dict[_Key, Kind] = {}
    for number, run in enumerate(runs):
        for event in run:
            key = _key(event)
            times.setdefault(key, [0] * len(runs))[number] += event["dur"]
            kinds.setdefault(key, _kind(event))
    medians = {key: statistics.median(durations) * 1e-6 for key, durations in times.items()}
    total = sum(medians.values()) or 1.0
    return tuple(
        ExecutedNode(
            name=name,
            op_type=op_type,
            domain=domains.get((op_type, name), domains.get((op_type, ""), "")),
            kind=kinds[op_type, name, index],
            seconds=seconds,
            share=seconds / total,
        )
        for (op_type, name, index), seconds in medians.items()
    )


def _runs(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The kernels of each run: onnxruntime writes them before the event of the run that they belong to."""
    kernels: list[Event] = []
    for event in events:
        if event["name"] == "model_run":
            yield kernels
            kernels = []
        elif event["cat"] == "Node" and event["name"].endswith(_KERNEL) and event["args"]["op_name"] not in _CONTAINERS:
            kernels.append(event)


def _key(event: Event) -> _Key:
    """Operator, name and index: names may repeat, and the indices of two subgraphs do."""
    arguments = event["args"]
    return arguments["op_name"], event["name"].removesuffix(_KERNEL), arguments["node_index"]


def _kind(event: Event) -> Kind:
    """From the element types in the profile; a weight that onnxruntime packed at load is not listed there."""
    inputs, outputs = (
        [element for tensor in event["args"][side] for element in tensor]
        for side in ("input_type_shape", "output_type_shape")
    )
    return kind_of(event["args"]["op_name"], inputs, outputs)


def _domains(graph: onnx.GraphProto) -> Iterator[tuple[tuple[str, str], str]]:
    """(operator, node name) -> domain. An unnamed node appears in the profile under a made-up name."""
    for node in graph.node:
        yield (node.op_type, node.name), node.domain
        for attribute in node.attribute:
            for body in (attribute.g, *attribute.graphs):
                yield from _domains(body)
