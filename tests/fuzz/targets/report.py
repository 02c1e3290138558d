"""A report.json of an earlier `report`, from which the index of all reports is made."""

import functools
from pathlib import Path
from random import Random
from typing import Any

from quantseg.report import write_index
from tests.fuzz.mutation import documents
from tests.fuzz.target import Target
from tests.support import sample_report

_PLACE = "out-reports"


@functools.cache
def _document() -> Any:
    return sample_report.report().to_json()


def make(random: Random, folder: Path) -> None:
    """A report in which values, their text or bytes are changed: the summary, which is what is read, mostly."""
    document = dict(_document())
    if random.random() < 0.8:
        document = {"summary": document["summary"]}
    (folder / _PLACE / "a").mkdir(parents=True)
    (folder / _PLACE / "a" / "report.json").write_bytes(documents.mutated(random, document))


def run(random: Random, folder: Path) -> None:
    """The index of the folder of reports."""
    write_index(folder / _PLACE)


REPORT = Target("a report of an earlier run (JSON)", make, run)
