"""A process that tries inputs one after another and tells of each: a crash of a C library ends it, and nothing else.

    python -m tests.fuzz.worker TARGET FIRST_SEED COUNT SECONDS PLACE

Each input gives two lines of JSON on standard output: that it begins, and how it ended.
"""

import faulthandler
import json
import os
import resource
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib.font_manager  # noqa: F401 - makes its folder of fonts when it is first imported, whatever is drawn

from tests.fuzz import memory
from tests.fuzz.attempt import MOST_BYTES, attempt
from tests.fuzz.confinement import Confinement
from tests.fuzz.target import Target
from tests.fuzz.targets import TARGETS

_ADDRESSES = 2 * MOST_BYTES
"""Addresses are asked for in larger pieces than memory is used."""


def main(targets: Mapping[str, Target], arguments: Sequence[str]) -> None:
    """Tries inputs of a target as the arguments say; see above."""
    name, first, count, seconds, place = arguments
    told = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # C libraries print as well
    faulthandler.enable(sys.stderr)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    end = time.monotonic() + float(seconds)
    confinement, limited = Confinement(Path(place)), False
    for seed in range(int(first), int(first) + int(count)):
        print(json.dumps({"begins": seed}), file=told, flush=True)
        outcome = attempt(name, targets[name], seed, confinement)
        print(json.dumps(outcome.to_json()), file=told, flush=True)
        if not limited:  # the first input loads libraries
            memory.limit_growth(_ADDRESSES)
            limited = True
        if time.monotonic() > end:
            break


if __name__ == "__main__":
    main(TARGETS, sys.argv[1:])
