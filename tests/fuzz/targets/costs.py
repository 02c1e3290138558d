"""The timings that `--target ort-cpu` keeps in the user's cache."""

import functools
from pathlib import Path
from random import Random

from quantseg.mixed_precision.latency_model import cache
from quantseg.mixed_precision.latency_model.stopwatch import Cost
from quantseg.runtimes import DEFAULT
from tests.fuzz.mutation import documents
from tests.fuzz.target import Target

_PLACE = "out-costs"


@functools.cache
def _machine() -> cache.Machine:
    return cache.this_machine(DEFAULT, 1)


def make(random: Random, folder: Path) -> None:
    """The file of this machine's timings, in which values, their text or bytes are changed."""
    entries = {"a" * 64: [100, 20, 30], "b" * 64: None, "c" * 64: [0, 0, 1 << 40]}
    content = documents.mutated(random, _machine().to_json() | {"nanoseconds": entries})
    (folder / _PLACE).mkdir()
    if random.random() < 0.97:
        (folder / _PLACE / _machine().file_name).write_bytes(content)
    else:
        (folder / _PLACE / _machine().file_name).mkdir()


def run(random: Random, folder: Path) -> None:
    """The file read, then written with one more timing, then read again."""
    place, machine = folder / _PLACE, _machine()
    known = cache.read(place, machine)
    cache.write(place, machine, {"d" * 64: Cost(1, 2, 3)})
    again = cache.read(place, machine)
    assert set(known) <= set(again) or not again


COSTS = Target("kept timings of `--target ort-cpu` (JSON)", make, run)
