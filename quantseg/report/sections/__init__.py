"""The sections of a report: each is a function from the Report to a Section, or None without content.

A new section is a function here and a line in SECTIONS, which is the reading order.
"""

from collections.abc import Callable

from quantseg.report.content import Report
from quantseg.report.document import Section
from quantseg.report.sections.cost import execution, size, speed
from quantseg.report.sections.decisions import kept_float, plan, provenance, ranges
from quantseg.report.sections.instances import instances
from quantseg.report.sections.int8_file import int8_file, left_out
from quantseg.report.sections.processors import processors
from quantseg.report.sections.quality import accuracy, classes, images
from quantseg.report.sections.roofline import roofline

SECTIONS: tuple[Callable[[Report], Section | None], ...] = (
    accuracy,
    instances,
    classes,
    images,
    processors,
    speed,
    size,
    execution,
    roofline,
    kept_float,
    ranges,
    plan,
    int8_file,
    left_out,
    provenance,
)


def sections(report: Report) -> tuple[Section, ...]:
    """The sections with content, in reading order."""
    made = (section(report) for section in SECTIONS)
    return tuple(section for section in made if section is not None)
