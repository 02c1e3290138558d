"""Times every kernel of the reference models in onnxruntime-web, and keeps the table that stands in where node is not.

    python -m tests.bench.web_kernels [MODEL ...]

Writes quantseg/mixed_precision/latency_model/web_kernels.json. Needs node and onnxruntime-web (quantseg web setup), and
the models and images in ../shared, which are not part of this project.
"""

import math
from collections import defaultdict
from dataclasses import replace
from statistics import median

from quantseg import api
from quantseg.files import caches, write_json
from quantseg.mixed_precision.latency_model import pricing
from quantseg.mixed_precision.latency_model.kernels import Kernel
from quantseg.mixed_precision.latency_model.table import WEB
from quantseg.mixed_precision.latency_model.target import Bench, timed_choices
from quantseg.mixed_precision.latency_model.trials import Way
from quantseg.mixed_precision.target_facts import ORT_WEB, TARGETS
from quantseg.mixed_precision.targets import TargetOptions, input_shapes
from quantseg.quantization.plan import Overrides, QuantSettings
from quantseg.quantization.plan.decisions import decide
from quantseg.runtimes import RUNTIMES
from quantseg.runtimes.provenance import provenance
from tests.bench import contestants, writing
from tests.bench.contestants import FAST

RUNTIME = RUNTIMES["onnxruntime-web"]
BENCH = Bench(RUNTIME, 1, caches.folder())
OPTIONS = replace(FAST, target=TargetOptions(ORT_WEB))
STEP = 2.0
"""Kernels of one kind whose work and depth differ by less than this factor share a row."""

Row = tuple[int, int, int]


def measured(name: str) -> dict[Kernel, list[int]]:
    """Kernel → nanoseconds of the trials of one model that are of it."""
    with contestants.subject(name, calibration=1, validation=1) as subject:
        model = api.load(subject.path, subject.source, options=OPTIONS)
        prepared, settings = model.prepared, QuantSettings()
        names = frozenset(str(node.name) for node in prepared.model.graph)
        wanted = decide(prepared, settings, Overrides(integer=names))
        way = Way(TARGETS[ORT_WEB].formats[0], settings)
        choices, costs = timed_choices(prepared, input_shapes(model), wanted, way, BENCH)
    found: dict[Kernel, list[int]] = defaultdict(list)
    for trial in pricing.to_time(choices, way):
        cost = costs.get(trial.key)
        if trial.kernel is not None and cost is not None and trial.kernel.work:
            found[trial.kernel].append(cost.work)
    return found


def rows(kernels: dict[Kernel, list[int]]) -> list[Row]:
    """(work, depth, nanoseconds) of kernels of one kind: one row for all that are alike, with their median pace."""
    alike: dict[tuple[int, int], list[Kernel]] = defaultdict(list)
    for kernel in kernels:
        alike[round(math.log(kernel.work, STEP)), round(math.log(kernel.depth, STEP))].append(kernel)
    result = []
    for group in alike.values():
        paces = [nanoseconds / kernel.work for kernel in group for nanoseconds in kernels[kernel]]
        middle = sorted(group, key=lambda kernel: (kernel.work, kernel.depth))[len(group) // 2]
        result.append((middle.work, middle.depth, round(median(paces) * middle.work)))
    return sorted(result)


def main() -> None:
    """Times the kernels and writes the table."""
    parser = writing.parser(__doc__)
    parser.add_argument("models", nargs="*", help="default: all")
    kinds: dict[str, dict[Kernel, list[int]]] = defaultdict(lambda: defaultdict(list))
    for name in parser.parse_args().models or [n for n in contestants.names() if n != contestants.UNET]:
        for kernel, nanoseconds in measured(name).items():
            kinds[kernel.kind][kernel] += nanoseconds
        print(name, len(kinds), flush=True)
    table = {kind: rows(kernels) for kind, kernels in sorted(kinds.items())}
    here = provenance()
    machine = f"{here.processor}, one thread"
    write_json(WEB, {"runtime": f"{RUNTIME.name} {RUNTIME.version}", "machine": machine, "kernels": table})


if __name__ == "__main__":
    main()
