"""The section on processors: on which of them the int8 model's integer sums are exact, with the evidence."""

from quantseg.report.content import Report
from quantseg.report.document import Section, Table
from quantseg.simulation.saturation import PROCESSORS

_NODES_SHOWN = 8


def processors(report: Report) -> Section | None:
    """One row for each kind of processor: how it adds, whether that is exact for this model, and the evidence."""
    found = report.sums
    if found is None or not found.products:
        return None
    rows = tuple(
        (
            p.name,
            p.instruction,
            "two products in 16 bits" if p.in_16_bits else "32 bits",
            "exact" if found.exact_on(p) else "can saturate",
            found.known(p),
        )
        for p in PROCESSORS
    )
    worst = sorted(found.unsafe.items(), key=lambda item: (-len(item[1]), item[0]))
    items = [f"{node}: {len(channels)} channels can saturate" for node, channels in worst[:_NODES_SHOWN]]
    if len(worst) > _NODES_SHOWN:
        items.append(f"and {len(worst) - _NODES_SHOWN} more nodes")
    text = (
        "Read from the file as it is written. x86 without VNNI (AVX2, AVX-512) adds two products of uint8 and int8 in "
        "16 bits, which saturate unless the weights are chosen for it. "
        f"{found.sentence[0].upper()}{found.sentence[1:]}."
    )
    headers = ("processor", "instruction", "adds in", "integer sums", "known")
    return Section("Processors", text, [Table("Integer sums", headers, rows)], items=items)
