"""The last lines of `quantize --target ort-cpu`: the speed-up check, and flags that would give a faster model."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from quantseg.cli import console
from quantseg.cli.flags import as_flags

if TYPE_CHECKING:
    from quantseg.quantization.candidate import Candidate
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.refinement.options import Options
    from quantseg.runtimes.speed_check import SpeedCheck


def timed(
    candidate: "Candidate", options: "Options", paths: tuple[Path, Path], source: "RecipeSource"
) -> dict[str, object]:
    """Runs the speed-up check on the written model, prints its result, and returns it as JSON values.

    candidate: the model before it was fitted to the target. paths: of the float and the written model.
    """
    from quantseg.mixed_precision import feeds, fitting, targets
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.runtimes.speed_check import check_speed

    bench = targets.bench(options.target, options.context())
    assert bench is not None
    if bench.table is not None:
        return {}
    outcome = check_speed(
        paths,
        (feeds.feeds_for(paths[0], source), feeds.feeds_for(paths[1], RecipeSource(inputs=source.inputs))),
        fitting.others(candidate, options.target, bench),
        runtime=bench.runtime,
        threads=bench.threads,
        track=bench.track,
    )
    outcome = replace(outcome, offers=tuple(replace(one, name=as_flags(one.name)) for one in outcome.offers))
    for line in lines(outcome, sys.argv[1:]):
        console.line(line)
    return {"timing": outcome.to_json()}


def lines(outcome: "SpeedCheck", words: list[str]) -> tuple[str, ...]:
    """The result as text; if int8 is not faster, also the command that gives a faster model. words: of this command."""
    from quantseg.report import tables

    reference, made, best = outcome.reference, outcome.made, outcome.best
    times = f"float {tables.milliseconds(reference.median_ms)}, int8 {tables.milliseconds(made.median_ms)}"
    speed = f"{tables.ratio(made.ratio)} ({outcome.threads} thread{'s' if outcome.threads > 1 else ''})"
    if outcome.is_faster:
        return (f"{times}: {speed}, faster",)
    first = f"{times}: {speed}, not faster"
    if best is None:
        return first, "nothing else that was tried is faster than float either: keep the float model for speed"
    command = shlex.join(["quantseg", *_asking_for(best.name.split(), words)])
    return first, f"faster is {tables.milliseconds(best.median_ms)}, {tables.ratio(best.ratio)}: {command}"


def _asking_for(flags: list[str], words: list[str]) -> list[str]:
    """The command's words with its target and format flags replaced by `flags`."""
    kept: list[str] = []
    skip = False
    for word in words:
        if skip:
            skip = False
        elif word in ("--target", "--format"):
            skip = True
        elif not word.startswith(("--target=", "--format=")) and word not in ("--latency-first", "--int8-everywhere"):
            kept.append(word)
    if flags == ["--target", "portable"]:
        kept = [word for word in kept if word not in ("--no-cache", "--no-timing")]
    return [*kept, *flags]
