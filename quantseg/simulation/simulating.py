"""Simulates a quantised model on images and compares it with another computation."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from quantseg.calibration.context import Context
from quantseg.data import Dataset
from quantseg.data.sources import Opener
from quantseg.errors import DataError
from quantseg.files.tflite import SUFFIX
from quantseg.quantization.float_model import RecipeSource, inputs_of, resolve_recipe
from quantseg.quantization.model_files import read_file
from quantseg.runtimes import RUNTIMES
from quantseg.simulation.arithmetic.processors import EXACT, SimulatedProcessor, named
from quantseg.simulation.examining import Examined, Wanted, examine
from quantseg.simulation.litert_program import read_litert_program
from quantseg.simulation.others import InRuntime, Other, Simulated
from quantseg.simulation.others_litert import InLiteRt, InXnnpack
from quantseg.simulation.program import Program, program, require_quantised
from quantseg.simulation.saturation.machine import this_processor
from quantseg.simulation.saved import SavedRun

ONNXRUNTIME = "onnxruntime"
LITERT, XNNPACK = "litert", "xnnpack"
"""What the simulation of a .tflite file is compared with: LiteRT's reference kernels, or XNNPACK's, each by itself."""


@dataclass(frozen=True)
class Simulating:
    """Options of `simulate`.

    against: what to compare with, bit for bit: "onnxruntime", the .onnx file of a quantised model, or a saved run; of a
    .tflite file "litert", "xnnpack" or a saved run.
    rounding: of requantisation, a name in ROUNDINGS. processor: whose kernels are simulated, a name in PROCESSORS; None
    means this machine's when compared with onnxruntime, else "exact". proof: whether accumulators are recorded. save: a
    file for every tensor. mark: the comment of that file.
    """

    against: Path | str | None = None
    rounding: str = ONNXRUNTIME
    processor: str | None = None
    proof: bool = True
    save: Path | str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Simulation:
    """The result of a simulation.

    program: the simulated operators. images: names of the images. found: comparison and accumulators. processor: the
    processor whose kernels were simulated. against: what it was compared with.
    """

    program: Program
    images: tuple[str, ...]
    found: Examined
    processor: SimulatedProcessor
    against: str | None = None

    @property
    def is_exact(self) -> bool:
        """Whether every compared integer tensor is bit-identical; true if nothing was compared."""
        return self.found.judgement.is_exact

    def __str__(self) -> str:
        steps, judgement = self.program.steps, self.found.judgement
        integer = sum(step.is_integer for step in steps)
        lines = [f"Simulation: {integer} of {len(steps)} operators in integers; {len(self.images)} images"]
        if self.found.sums:
            bits = max(sums.bits for sums in self.found.sums.values())
            lines.append(f"  every accumulator fits {bits} bits")
        if self.against is not None:
            wrong = judgement.in_order(self.program, integer=True)
            equal = f"{len(judgement.integers) - len(wrong)} of {len(judgement.integers)} integer tensors equal"
            first = f", the first that differs is of node {wrong[0].node!r}" if wrong else ""
            lines.append(f"  against {self.against}: {equal}{first}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Subject:
    """A quantised model, its file, its program, its input images, and the name of the input that takes them."""

    path: Path
    model: ir.Model
    program: Program
    images: Dataset
    input_name: str


def opened(path: Path, images: Opener, source: RecipeSource) -> Subject:
    """Reads model and images. Raises ModelError for a float model or an unknown operator, before computing anything."""
    loaded, steps = _read(path)
    recipe = resolve_recipe(loaded, str(path), source)
    inputs = inputs_of(loaded, str(path), recipe, source)
    return Subject(path, loaded, steps, images(recipe, inputs), inputs.image.name)


def read_program(path: Path) -> Program:
    """A quantised model's program. Raises ModelError as `opened` does."""
    return _read(path)[1]


def simulate(path: Path, images: Opener, source: RecipeSource, how: Simulating, context: Context) -> Simulation:
    """Simulates a quantised model on images, with the comparison asked for. Raises ModelError, DataError, PlanError."""
    against = None if how.against is None else str(how.against)
    processor = known_processor(how.processor, against)
    subject = opened(path, images, source)
    with ExitStack() as stack:
        other = None
        if against is not None:
            other = stack.enter_context(_other(against, subject, how.rounding, context, processor))
        save = None if how.save is None else Path(how.save)
        wanted = Wanted(how.rounding, how.proof, other, save, processor, how.mark)
        found = examine(subject.program, subject.images, subject.input_name, wanted, track=context.track)
    return Simulation(subject.program, tuple(subject.images.names), found, processor, against)


def first_feeds(path: Path, images: Opener, source: RecipeSource) -> tuple[Program, Mapping[str, NDArray[Any]]]:
    """The program, and the feeds of the first image."""
    subject = opened(path, images, source)
    return subject.program, subject.images.load(0).feeds(subject.input_name)


def known_processor(name: str | None, against: str | None) -> SimulatedProcessor:
    """The processor of this name. None means the one found on this machine if `against` is onnxruntime, else "exact".

    Raises PlanError for an unknown name.
    """
    if name is not None:
        return named(name)
    return this_processor(RUNTIMES[against]) if against == ONNXRUNTIME else EXACT


@contextmanager
def _other(
    against: str, subject: Subject, rounding: str, context: Context, processor: SimulatedProcessor
) -> Iterator[Other]:
    """Opens what to compare with: a runtime by name, a model by its suffix .onnx, else a saved run."""
    is_tflite = subject.path.suffix == SUFFIX
    if (is_tflite and (against == ONNXRUNTIME or against.endswith(".onnx"))) or (
        not is_tflite and against in (LITERT, XNNPACK)
    ):
        kinds = f"{LITERT}, {XNNPACK}" if is_tflite else f"{ONNXRUNTIME}, a quantised model"
        raise DataError(
            f"against={against}: computes another kind of file than {subject.path.name}; give {kinds} or a run"
        )
    opened: Other
    if against in (LITERT, XNNPACK):
        opened = InLiteRt(subject.path, context.threads) if against == LITERT else InXnnpack(subject.path)
    elif against == ONNXRUNTIME:
        opened = InRuntime(subject.model, subject.program, context.runtime, threads=context.threads)
    elif against.endswith(".onnx"):
        opened = Simulated(read_program(Path(against)), rounding, processor)
    elif Path(against).is_file():
        opened = SavedRun(Path(against), subject.images.names)
    else:
        raise DataError(f"{against!r} is neither onnxruntime, a saved run nor an .onnx model; check against=…")
    with closing(opened):
        yield opened


def _read(path: Path) -> tuple[ir.Model, Program]:
    loaded = read_file(path)
    require_quantised(loaded, str(path))
    if path.suffix == SUFFIX:
        return loaded, read_litert_program(path)
    return loaded, program(loaded, what=str(path))
