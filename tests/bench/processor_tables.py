"""The tables of reports/benchmarks/processors.md."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from quantseg.report import tables
from tests.bench import writing
from tests.processors import PROCESSORS

SAFE, FULL = "safe", "full range"
_TITLES = {SAFE: "weights that cannot saturate, the default", FULL: "full-range weights, --full-range-weights"}


@dataclass(frozen=True)
class Row:
    """A model on a processor. exact, real: mean IoU with the masks of exact sums, and of the float model; exact_real:
    of exact sums with the float model, on the same images; pixels: share of equal pixels with exact sums. differ,
    borders: integers, see `exposing.differing`. alone: (node, operator, differing integers) where each is fed with
    exact sums' integers, None where that was not asked."""

    model: str
    weights: str
    processor: str
    images: int
    exact: float
    real: float
    exact_real: float
    pixels: float
    differ: int
    values: int
    borders: int
    border_values: int
    alone: list[tuple[str, str, int]] | None


Section = tuple[tuple[str, ...], list[tables.Row]]


def write(figures: Mapping[str, Any], images: int, counted: int, names: Sequence[str]) -> None:
    """Writes the report of what is kept."""
    rows = [
        Row(**row)
        for name in names
        for by in [figures["rows"].get(name, {})]
        for processor in PROCESSORS
        for row in by.get(processor, {}).values()
    ]
    sections: dict[str, Section] = {}
    if rows:
        sections = dict(_sections(rows, figures))
    if figures["latency"]:
        sections["Latency: full range over safe, medians in turns"] = _latency(figures["latency"], names)
    failed = "".join(f" {name} does not run: {why}." for name, by in figures["failed"].items() for why in by.values())
    absent = "".join(f" Not to be had: {reason}." for reason in (figures["absent"] or {}).values())
    page = writing.Page(
        "One model, the same mask on every processor",
        f"Effort balanced, portable QDQ. Exact sums: {figures['reference'] or 'not measured'}. Masks of native "
        f"processors are judged on {images} images that calibration did not see, those of emulated ones on "
        f"{counted} of them, on which the integers of every node are outputs too and are counted. Full-range weights "
        "are run on native kernels alone: emulated ones are theirs bit for bit, or add exactly. Agreement: mean IoU. "
        "Processors: "
        + "; ".join(
            f"{p.name}: {p.kernels}, {p.way.value}" + (f" ({p.model})" if p.model else "") for p in PROCESSORS.values()
        )
        + ". avx2-native and avx512-native run a copy of onnxruntime that does not see this machine's wider "
        "instructions. Integers straight from float arithmetic (of a region that balanced left float) are counted "
        "apart, since the last bits of float sums are each processor's own; what reads them is fed with exact sums' "
        "integers." + absent + failed,
        sections,
    )
    writing.write("processors", page, dict(figures))


def _sections(rows: Sequence[Row], figures: Mapping[str, Any]) -> Iterator[tuple[str, Section]]:
    seen = [name for name in PROCESSORS if any(row.processor == name for row in rows)]
    for weights, title in _TITLES.items():
        mine = [row for row in rows if row.weights == weights]
        yield f"All models: {title}", _summary(mine, seen)
    for weights, title in _TITLES.items():
        mine = [row for row in rows if row.weights == weights]
        yield f"Agreement with the masks of exact sums: {title}", _grid(mine, seen, lambda r: tables.percent(r.exact))
        yield f"Agreement with the float masks: {title}", _grid(mine, seen, lambda r: tables.percent(r.real))
        yield f"Integers that differ from exact sums': {title}", _grid(mine, seen, lambda r: f"{r.differ:,}")
        if any(row.borders for row in mine):
            yield (
                f"Integers straight from float arithmetic that differ: {title}",
                _grid(mine, seen, lambda r: f"{r.borders:,}"),
            )
    alone = [
        (row.model, row.processor, f"{len(row.alone)}", ", ".join(f"{node} ({op}) {n:,}" for node, op, n in row.alone))
        for row in rows
        if row.alone is not None
    ]
    if alone:
        yield "Nodes that differ when each is given equal integers", (("model", "processor", "nodes", "which"), alone)
    channels = [
        (name, *(f"{unsafe:,} of {total:,}" for unsafe, total in (found[weights] for weights in _TITLES)))
        for name, found in figures["channels"].items()
    ]
    yield "Output channels whose pair sums may saturate, in the written file", (("model", SAFE, FULL), channels)


def _summary(rows: Sequence[Row], seen: Sequence[str]) -> Section:
    heads = (
        "processor",
        "kernels",
        "exact sums' masks",
        "worst",
        "float masks",
        "exact sums there",
        "all integers equal",
    )
    found: list[tables.Row] = []
    for name in seen:
        own = [row for row in rows if row.processor == name]
        if own:
            mean = {
                key: math.fsum(getattr(row, key) for row in own) / len(own) for key in ("exact", "real", "exact_real")
            }
            found.append((
                name, PROCESSORS[name].kernels, tables.percent(mean["exact"]),
                tables.percent(min(row.exact for row in own)), tables.percent(mean["real"]),
                tables.percent(mean["exact_real"]), f"{sum(not row.differ for row in own)} of {len(own)}",
            ))  # fmt: skip
    return heads, found


def _grid(rows: Sequence[Row], seen: Sequence[str], cell: Callable[[Row], str]) -> Section:
    by = {(row.model, row.processor): cell(row) for row in rows}
    models = dict.fromkeys(row.model for row in rows)
    return ("model", *seen), [(model, *(by.get((model, name)) for name in seen)) for model in models]


def _latency(known: Mapping[str, Mapping[str, Mapping[str, float]]], names: Sequence[str]) -> Section:
    found: list[tables.Row] = []
    ratios: dict[str, list[float]] = {kernels: [] for kernels in known}
    for name in names:
        for kernels, by in known.items():
            if name in by:
                ms = by[name]
                ratios[kernels].append(ms[FULL] / ms[SAFE])
                found.append((
                    name, kernels, *(tables.milliseconds(ms[key]) for key in ("float", FULL, SAFE)),
                    f"{ms[FULL] / ms[SAFE]:.3f}x",
                ))  # fmt: skip
    for kernels, each in ratios.items():
        mean = math.exp(math.fsum(map(math.log, each)) / len(each))
        found.append(("geometric mean", kernels, None, None, None, f"{mean:.3f}x"))
    return ("model", "kernels", "float", FULL, SAFE, "full range / safe"), found
