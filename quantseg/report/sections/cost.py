"""Sections on cost: latency, memory and file size of the models, and where the time goes."""

from collections.abc import Mapping

from quantseg.report.content import FLOAT, INT8, Report
from quantseg.report.document import Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.tables import megabytes, milliseconds, percent, ratio, smaller
from quantseg.runtimes.execution import KINDS, ExecutionSummary

_KIND_MEANS = {
    "int8": "work on 8-bit tensors",
    "float": "arithmetic in float",
    "boundary": "float to 8 bit and back",
    "movement": "float tensors only moved",
    "other": "shapes, indices, casts",
}
_WEB = "web"


def speed(report: Report) -> Section | None:
    """Latency of each model, timed in the same rounds."""
    if not report.latency:
        return None
    text = "Timed in turns, one session alive at a time. The ratios hold; the milliseconds are this machine's."
    if report.web_latency:
        text += f" {_WEB}: in onnxruntime-web, as browsers run models; speed is over float there."
    named = [(timing.name, timing) for timing in report.latency]
    named += [(f"{timing.name}, {_WEB}", timing) for timing in report.web_latency]
    rows = tuple(
        (
            name,
            milliseconds(t.median_ms),
            milliseconds(t.minimum_ms),
            f"{milliseconds(t.p10_ms)} … {milliseconds(t.p90_ms)}",
            ratio(t.ratio),
            megabytes(t.peak_memory_bytes),
        )
        for name, t in named
    )
    headers = ("model", "median", "minimum", "10 … 90 %", "speed", "peak memory")
    return Section("Speed", text, [Table("Latency of one run", headers, rows)], FIGURES["latency"](report))


def size(report: Report) -> Section:
    """File sizes of the models."""
    files = {FLOAT: report.float_model, INT8: report.int8_model}
    files |= {peer.name: peer.model for peer in report.peers if peer.model is not None}
    rows = tuple(
        (
            name,
            model.file,
            megabytes(model.size),
            smaller(report.float_model.size / model.size),
            model.sha256[:16],
        )
        for name, model in files.items()
    )
    return Section("Size", "", [Table("Files", ("model", "file", "size", "smaller", "SHA-256 begins"), rows)])


def execution(report: Report) -> Section | None:
    """The nodes that the runtime executed, by kind: int8, float, boundary, movement, other."""
    if not report.executed:
        return None
    own = {name: summary for name, summary in report.executed.items() if name in (FLOAT, INT8)}
    tables = [_kinds("Nodes and time", own)]
    tables += [
        _kinds(f"Nodes and time of the model of {peer.name}", {peer.name: report.executed[peer.name]})
        for peer in report.peers
        if peer.name in report.executed
    ]
    text = "A runtime rewrites the graph that it is given. These nodes ran, sorted by the types they ran on."
    left = report.executed[INT8].float_conv_transposes if INT8 in report.executed else 0
    items = [f"The int8 model still runs {left} ConvTranspose in float."] if left else []
    return Section("What runs", text, tables, FIGURES["execution"](report), items)


def _kinds(caption: str, executed: Mapping[str, ExecutionSummary]) -> Table:
    totals = [summary.kinds for summary in executed.values()]
    rows = tuple(
        (
            kind,
            _KIND_MEANS[kind],
            *(cell for k in totals for cell in (k[kind].nodes, percent(k[kind].share))),
        )
        for kind in KINDS
    )
    headers = (
        "kind",
        "what it is",
        *(head for name in executed for head in (f"{name}: nodes", "time")),
    )
    return Table(caption, headers, rows)
