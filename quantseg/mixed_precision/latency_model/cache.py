"""Timings kept on disk: one file for each processor, runtime version, number of threads and state of the code.

A file is replaced as a whole, after merging what another process has written meanwhile. Two concurrent writers can lose
a few timings, which are then measured again, but never damage the file.
"""

import hashlib
import json
import logging
import re
from dataclasses import astuple, dataclass
from pathlib import Path

from quantseg.errors import OutputError
from quantseg.files import write_json
from quantseg.mixed_precision import latency_model
from quantseg.mixed_precision.latency_model.stopwatch import Cost, Costs
from quantseg.quantization import formats
from quantseg.quantization import operators as ops
from quantseg.quantization import plan as planning
from quantseg.runtimes import Runtime
from quantseg.runtimes.provenance import provenance

log = logging.getLogger(__name__)

_VERSION = 1
"""Version of the file and of the way in which parts are cut out and timed; other versions are not comparable."""


@dataclass(frozen=True)
class Machine:
    """What timings depend on beside the timed model. formats: digest of the code that writes and times it."""

    processor: str
    runtime: str
    threads: int
    formats: str

    @property
    def file_name(self) -> str:
        """The file's name: runtime and threads, then a digest of all fields."""
        digest = hashlib.sha256(repr(self).encode()).hexdigest()[:12]
        return f"costs-{re.sub(r'[^a-z0-9.]+', '-', self.runtime.lower())}-{self.threads}-{digest}.json"

    def to_json(self) -> dict[str, object]:
        """The fields at the start of the file, by which it is checked."""
        return {
            "quantseg_costs": _VERSION,
            "processor": self.processor,
            "runtime": self.runtime,
            "threads": self.threads,
            "formats": self.formats,
        }


def this_machine(runtime: Runtime, threads: int) -> Machine:
    """This machine (system, processor, cores, instruction sets) with the runtime and the number of threads."""
    here = provenance()
    sets = ", ".join(here.instruction_sets or ())
    processor = f"{here.os}, {here.processor}, {here.cores} cores, {sets}"
    rooms = (Path(str(room.__file__)).parent for room in (formats, ops, planning, latency_model))
    sources = b"".join(path.read_bytes() for room in rooms for path in sorted(room.glob("*.py")))
    written_by = hashlib.sha256(sources).hexdigest()[:16]
    return Machine(processor, f"{runtime.name} {runtime.version}", threads, written_by)


def read(place: Path, machine: Machine) -> dict[str, Cost | None]:
    """The timings on disk; empty where there are none, with a warning where the file is damaged or does not match."""
    path = place / machine.file_name
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if any(content[key] != value for key, value in machine.to_json().items()):
            raise ValueError
        return {str(key): _cost(entry) for key, entry in content["nanoseconds"].items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        log.warning("%s: no timings of this machine; it is ignored and written anew", path)
        return {}


def write(place: Path, machine: Machine, found: Costs) -> None:
    """Adds timings to those on disk. A folder that cannot be written only costs time in the next run: a warning."""
    if not found:
        return
    together = read(place, machine) | dict(found)
    entries = {key: None if cost is None else astuple(cost) for key, cost in sorted(together.items())}
    try:
        write_json(place / machine.file_name, machine.to_json() | {"nanoseconds": entries})
    except OutputError as error:
        log.warning("the timings are not kept: %s", error)


def _cost(entry: list[int] | None) -> Cost | None:
    """A Cost from its JSON entry. Raises TypeError or ValueError where the entry is malformed."""
    if entry is None:
        return None
    work, before, after = entry
    if not all(type(number) is int and number >= 0 for number in (work, before, after)):
        raise ValueError
    return Cost(work, before, after)
