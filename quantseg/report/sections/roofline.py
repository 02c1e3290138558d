"""The section on the roofline: the convolutions' speed as a share of this machine's fastest matrix product."""

from quantseg.report.content import INT8, Report
from quantseg.report.document import Section, Table
from quantseg.report.figures import FIGURES
from quantseg.report.roofline import HEADERS, figures, rate, sentence, slowest
from quantseg.report.tables import Row
from quantseg.runtimes.roofline import Roofs

_SHOWN = 12
_EXPLANATION = (
    "the fastest of a few matrix products, timed in the same run with the same runtime and threads. A single "
    "convolution far below it has a shape that does not suit its kernel, such as few channels. Where all are far "
    "below, the convolution has a slower kernel than the matrix product: on a processor with AMX, onnxruntime's int8 "
    "matrix product uses that, its convolution VNNI. Padding counts as work that is asked for; channels that a kernel "
    "adds to fill its blocks do not."
)


def roofline(report: Report) -> Section | None:
    """The int8 model's line, the totals of every model, and the slowest convolutions."""
    nodes = report.convolutions.get(INT8, ())
    if report.roofs is None or not nodes:
        return None
    line = sentence(nodes, report.roofs)
    totals: tuple[Row, ...] = tuple(
        (name, len(found), *figures(found, report.roofs)) for name, found in report.convolutions.items() if found
    )
    return Section(
        "Convolutions",
        f"In the int8 model {line}. The roof, {_both(report.roofs)}, is {_EXPLANATION}",
        [
            Table(
                "Convolutions of each model",
                ("model", "convolutions", *HEADERS[2:]),
                totals,
            ),
            Table(
                "The slowest convolutions of the int8 model; roof: the part of it that each reaches",
                HEADERS,
                tuple(slowest(nodes, report.roofs, limit=_SHOWN)),
            ),
        ],
        FIGURES["roofline"](report),
    )


def _both(roofs: Roofs) -> str:
    return f"{rate(roofs.int8.macs_per_second)} in int8 and {rate(roofs.float32.macs_per_second)} in float"
