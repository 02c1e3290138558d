"""Joins the profile and the optimised graph, both written by an onnxruntime session, into executed nodes.

The profile has the executed kernels with times, shapes and element types. The graph has the operator domains, which
tell ONNX's operators from onnxruntime's own (com.microsoft, com.microsoft.nchwc), the attributes, and the shapes of
weights, which the profile lacks where onnxruntime prepacked them.
"""

import json
import re
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx

from quantseg.runtimes.execution import ExecutedNode, Kind, kind_of
from quantseg.runtimes.onnxruntime_graph import BLOCKED, NodeFacts, NodeKey, as_asked, node_facts
from quantseg.runtimes.onnxruntime_package import onnxruntime
from quantseg.runtimes.products import Product, Shape, product_of, weight_position

_GRAPH = "optimized.onnx"
_PLAIN_GRAPH = "plain.onnx"
_KERNEL = "_kernel_time"
_LAID_OUT, _CONTRIB = re.compile(r"(_token_\d+)+$"), "com.microsoft"
"""What onnxruntime adds to the name of a node that it lays out anew; the domain of a convolution of channels last."""
_CONTAINERS = frozenset({"If", "Loop", "Scan"})
"""Control flow: their time is that of the nodes in their bodies, which the profile lists individually."""

Event = Mapping[str, Any]
_Key = tuple[str, str, str]


@contextmanager
def profiled(options: onnxruntime.SessionOptions) -> Iterator[tuple[onnxruntime.SessionOptions, Path]]:
    """Adds to the options that profile and optimised graph are written to a folder, which is deleted at the end."""
    with tempfile.TemporaryDirectory(prefix="quantseg-") as name:
        folder = Path(name)
        options.enable_profiling = True
        options.profile_file_prefix = str(folder / "profile")
        save_graph(options, folder / _GRAPH)
        yield options, folder


def save_graph(options: onnxruntime.SessionOptions, file: Path) -> None:
    """Adds to the options that the session writes its optimised graph to `file`."""
    options.optimized_model_filepath = str(file)
    # Weights go to a file of their own: a protobuf message cannot hold 2 GB, and only nodes are read.
    prefix = "session.optimized_model_external_initializers_"
    options.add_session_config_entry(f"{prefix}file_name", f"{file.stem}.bin")
    options.add_session_config_entry(f"{prefix}min_size_in_bytes", "1024")


def read_profile(folder: Path, save_plain: Callable[[Path], None]) -> tuple[ExecutedNode, ...]:
    """The executed nodes, from the files of one closed session.

    save_plain: writes the graph as optimised without the NCHWc layout; called only if the graph has NCHWc nodes.
    """
    (profile,) = folder.glob("profile*.json")
    events = json.loads(profile.read_text(encoding="utf-8"))
    facts = read_facts(folder / _GRAPH)
    if any(node.domain == BLOCKED for node in facts.values()):
        save_plain(folder / _PLAIN_GRAPH)
        facts = as_asked(facts, read_facts(folder / _PLAIN_GRAPH))
    return executed_nodes(events, facts)


def read_printed(text: str, facts: Mapping[NodeKey, NodeFacts], *, last: int) -> tuple[ExecutedNode, ...]:
    """The executed nodes in the last runs of a profile as onnxruntime-web prints it, whose order is of no matter.

    facts: of the graph as optimised elsewhere, in the graph's own layouts.
    """
    runs: list[list[Event]] = []
    known = dict(facts)
    for event in sorted(json.loads(text), key=lambda event: (event["ts"], -event["dur"])):
        if event["name"] == "model_run":
            runs.append([])
        elif runs and _is_kernel(event):
            name, op_type = _LAID_OUT.sub("", event["name"].removesuffix(_KERNEL)), event["args"]["op_name"]
            runs[-1].append({**event, "name": f"{name}{_KERNEL}"})
            own = facts.get((op_type, name), NodeFacts())
            if op_type == "QLinearConv" and _is_channels_last(event, own.constants.get(3, ())):
                attributes = {**own.attributes, "channels_last": 1}
                known[op_type, name] = replace(own, domain=_CONTRIB, attributes=attributes)
    return _nodes_of(runs[-last:], known)


def _is_channels_last(event: Event, weight: Shape) -> bool:
    """Whether a convolution with this weight, (out, in / groups, …), writes its channels last."""
    (_, output), *_ = _tensors(event, "output")
    return bool(weight) and output[-1] == weight[0]


def read_facts(file: Path) -> dict[NodeKey, NodeFacts]:
    """The facts of the nodes in the file of a graph."""
    return node_facts(onnx.load(file, load_external_data=False).graph)


def executed_nodes(events: Sequence[Event], facts: Mapping[NodeKey, NodeFacts]) -> tuple[ExecutedNode, ...]:
    """The kernels of all runs but the first, in the order of execution, with their median time.

    `events`: the profile, times in microseconds. `facts`: from the graph. Times and MACs of a node that is executed
    several times in one run (the body of a loop) are added up. For a node without a name only the domain is known,
    looked up by its operator.
    """
    return _nodes_of(list(_runs(events))[1:], facts)


def _nodes_of(runs: Sequence[Sequence[Event]], facts: Mapping[NodeKey, NodeFacts]) -> tuple[ExecutedNode, ...]:
    """As `executed_nodes`, of the kernel events of each run."""
    times: dict[_Key, list[int]] = {}
    kinds: dict[_Key, Kind] = {}
    products: dict[_Key, Product | None] = {}
    for number, run in enumerate(runs):
        for event in run:
            key = _key(event)
            times.setdefault(key, [0] * len(runs))[number] += event["dur"]
            kinds.setdefault(key, _kind(event))
            if number == 0:
                products[key] = _sum(products.get(key), _product(event, facts.get(key[:2], NodeFacts())))
    medians = {key: statistics.median(durations) * 1e-6 for key, durations in times.items()}
    total = sum(medians.values()) or 1.0
    return tuple(
        ExecutedNode(
            name=name,
            op_type=op_type,
            domain=facts.get((op_type, name), facts.get((op_type, ""), NodeFacts())).domain,
            kind=kinds[op_type, name, index],
            seconds=seconds,
            share=seconds / total,
            product=products[op_type, name, index],
        )
        for (op_type, name, index), seconds in medians.items()
    )


def _runs(events: Iterable[Event]) -> Iterator[list[Event]]:
    """The kernel events of each run: onnxruntime writes them before the event of their run."""
    kernels: list[Event] = []
    for event in events:
        if event["name"] == "model_run":
            yield kernels
            kernels = []
        elif _is_kernel(event):
            kernels.append(event)


def _is_kernel(event: Event) -> bool:
    return event["cat"] == "Node" and event["name"].endswith(_KERNEL) and event["args"]["op_name"] not in _CONTAINERS


def _key(event: Event) -> _Key:
    """(operator, name, node index): names may repeat, and indices repeat between subgraphs."""
    arguments = event["args"]
    return arguments["op_name"], event["name"].removesuffix(_KERNEL), arguments["node_index"]


def _kind(event: Event) -> Kind:
    """The kind of a kernel, from the element types in the profile, which omits weights that were prepacked."""
    inputs, outputs = ([element for element, _ in _tensors(event, side)] for side in ("input", "output"))
    return kind_of(event["args"]["op_name"], inputs, outputs)


def _product(event: Event, facts: NodeFacts) -> Product | None:
    """The size of a convolution or matrix product.

    A constant weight's shape comes from the graph: it may be prepacked, and the profile then omits it and shifts the
    inputs after it. A computed weight is listed at its own position.
    """
    inputs, outputs = ([shape for _, shape in _tensors(event, side)] for side in ("input", "output"))
    if not inputs or not outputs:
        return None
    op_type = event["args"]["op_name"]
    place = weight_position(op_type)
    computed = inputs[place] if place is not None and place < len(inputs) else None
    weight = None if place is None else facts.constants.get(place, computed)
    return product_of(op_type, facts.attributes, inputs[0], weight, outputs[0])


def _sum(before: Product | None, now: Product | None) -> Product | None:
    return now if before is None or now is None else replace(now, macs=before.macs + now.macs)


def _tensors(event: Event, side: str) -> list[tuple[str, Shape]]:
    """Element type and shape of each tensor that the profile lists."""
    listed = event["args"][f"{side}_type_shape"]
    return [(element, tuple(shape)) for tensor in listed for element, shape in tensor.items()]
