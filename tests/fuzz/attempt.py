"""One input tried: made from its seed, read as a command reads it, and judged."""

import os
import shutil
import time
import traceback
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from quantseg.errors import QuantSegError
from tests.fuzz import memory
from tests.fuzz.confinement import Confinement
from tests.fuzz.target import OUTPUT, Target, chance
from tests.support.places import ROOT

ACCEPTED, REFUSED, FINDING = "accepted", "refused", "finding"
LONGEST_MESSAGE = 1000
MOST_SECONDS = 60.0
MOST_BYTES = 2 << 30
"""What one input may take: time, and memory beyond what the process had before."""


@dataclass(frozen=True)
class Outcome:
    """How one input ended. text: the message, or what is wrong in one line, the same for findings of one kind.

    details: the traceback of a finding. seconds, bytes: what it took.
    """

    seed: int
    kind: str
    text: str = ""
    details: str = ""
    seconds: float = 0.0
    bytes: int = 0

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        return asdict(self)


def attempt(name: str, target: Target, seed: int, place: Confinement) -> Outcome:
    """Makes the input of that seed in the confinement's folder, reads it and says how that ended."""
    random = chance(name, seed)
    _empty(place)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            target.make(random, place.folder)
        except Exception as error:
            return Outcome(seed, FINDING, f"the fuzzer itself: {_signature(error)}", traceback.format_exc())
        return _tried(target, random, seed, place)


def _tried(target: Target, random: Random, seed: int, place: Confinement) -> Outcome:
    before = place.listing()
    memory.forget_peak()
    start, held = time.monotonic(), memory.held()
    with place.watching():
        kind, text, details = _answer(target, random, place.folder)
    seconds, grown = time.monotonic() - start, max(memory.peak() - held, 0)
    if kind != FINDING:
        wrong = _wrong(place, before, refused=kind == REFUSED)
        if seconds > MOST_SECONDS:
            wrong = f"took more than {MOST_SECONDS:g} seconds"
        if grown > MOST_BYTES:
            wrong = f"took more than {MOST_BYTES >> 30} GiB of memory"
        if wrong is not None:
            kind, text, details = FINDING, wrong, text
    return Outcome(seed, kind, text, details, seconds, grown)


def _answer(target: Target, random: Random, folder: Path) -> tuple[str, str, str]:
    try:
        target.run(random, folder)
    except QuantSegError as error:
        message = str(error)
        wrong = _wrong_message(message)
        if wrong is not None:
            return FINDING, f"{wrong}: {_signature(error)}", f"{message!r}\n{traceback.format_exc()}"
        return REFUSED, message, ""
    except MemoryError as error:
        return FINDING, f"out of memory: {_signature(error)}", traceback.format_exc()
    except Exception as error:
        return FINDING, _signature(error), traceback.format_exc()
    return ACCEPTED, "", ""


def _wrong_message(message: str) -> str | None:
    """What is wrong with an error message; None for a good one."""
    if not message:
        return "an empty message"
    if "\n" in message or "\r" in message:
        return "a message of several lines"
    if len(message) >= LONGEST_MESSAGE:
        return "a message that is too long"
    if not message.isprintable():
        return "a message that cannot be printed"
    return None


def _wrong(place: Confinement, before: dict[str, Any], *, refused: bool) -> str | None:
    """What was done to the disk that should not have been; None for nothing."""
    after = place.listing()
    if place.violations:
        return f"outside its folder: {place.violations[0]}"
    if left := place.left_behind():
        return f"leaves temporary files: {left[0]}"
    changed = sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))
    if unexpected := [name for name in changed if refused or not name.startswith(OUTPUT)]:
        return f"{'refused, and yet it' if refused else 'it'} writes {unexpected[0]}"
    if leaked := place.leaks([name for name in after if name.startswith(OUTPUT)]):
        return f"what lies outside the folder lands in {leaked[0]}"
    return None


def _signature(error: BaseException) -> str:
    """Type and place of an exception: the last line of our own that it passed."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if frame.filename.startswith(str(ROOT / "quantseg"))]
    frame = (ours or frames)[-1]
    name = os.path.relpath(frame.filename, ROOT) if ours else Path(frame.filename).name
    return f"{type(error).__name__} in {name}:{frame.lineno} {frame.name}"


def _empty(place: Confinement) -> None:
    """Empties the folders for the next input."""
    place.violations.clear()
    for folder in (place.folder, place.temporary):
        shutil.rmtree(os.fsencode(folder), ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
