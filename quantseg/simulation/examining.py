"""One streaming pass over the images: simulate, compare, record accumulators, save."""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from quantseg.data import Dataset
from quantseg.errors import DataError
from quantseg.progress import Track, quiet
from quantseg.simulation import saved
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor
from quantseg.simulation.judging import Judgement, as_users_run_it, compared, given_floats
from quantseg.simulation.others import Other
from quantseg.simulation.program import Program
from quantseg.simulation.proof import Sums, added, sums_of
from quantseg.simulation.running import run

Array = NDArray[Any]


@dataclass(frozen=True)
class Wanted:
    """Options of `examine`.

    rounding: a name in ROUNDINGS. proof: whether accumulators are recorded. other: the computation to compare with.
    save: a file for every tensor. processor: the processor whose kernels are simulated. mark: the comment of the file.
    """

    rounding: str = "onnxruntime"
    proof: bool = True
    other: Other | None = None
    save: Path | None = None
    processor: SimulatedProcessor = EXACT
    mark: str = ""


@dataclass(frozen=True)
class Examined:
    """The result. sums: node of a convolution or matrix product → its accumulators, in execution order."""

    judgement: Judgement
    sums: Mapping[str, Sums] = field(default_factory=dict)


def examine(program: Program, images: Dataset, input_name: str, wanted: Wanted, *, track: Track = quiet) -> Examined:
    """Runs the program on every image. input_name: of the input that takes the image.

    Raises DataError without images or where the compared computation shares no tensor; ModelError and PlanError as
    `run` does.
    """
    if not images.names:
        raise DataError("no images to simulate on; give a folder that holds some")
    judgement, sums = Judgement(), dict[str, Sums]()
    with ExitStack() as stack:
        writing = None if wanted.save is None else stack.enter_context(saved.writing(wanted.save, wanted.mark))
        for index in track(range(len(images.names)), total=len(images.names), what="simulate"):
            image = images.load(index)
            feeds = image.feeds(input_name)
            theirs = {} if wanted.other is None else wanted.other.tensors(image.name, feeds)
            given = given_floats(program, theirs)
            mine: dict[str, Array] = {}
            for taken in run(program, feeds, rounding=wanted.rounding, processor=wanted.processor, given=given):
                judgement += compared(taken, theirs, image=image.name)
                mine |= {name: given.get(name, found) for name, found in taken.named if name in program.outputs}
                if wanted.proof:
                    sums = dict(added(sums, sums_of(program, taken, sums.get(taken.step.name))))
                if writing is not None:
                    for name, found in taken.named:
                        writing.add(index, name, found)
            outputs = {} if wanted.other is None else wanted.other.outputs(feeds)
            judgement += as_users_run_it(program, mine, outputs, image=image.name)
        if wanted.other is not None and not (judgement.integers or judgement.floats):
            raise DataError(
                "nothing to compare: no tensor has the same name in both; compare models of one float model"
            )
        if writing is not None:
            facts = {"rounding": wanted.rounding, "processor": wanted.processor.name}
            writing.about({"images": list(images.names)} | facts)
    return Examined(judgement, sums)
