"""What simulate and explain share: the model as a program with its images, and how findings are shown."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from quantseg.cli import console

if TYPE_CHECKING:
    import onnx_ir as ir
    from numpy.typing import NDArray

    from quantseg.data import Dataset
    from quantseg.quantization.float_model import RecipeSource
    from quantseg.simulation.arithmetic.processors import Processor
    from quantseg.simulation.difference import Difference
    from quantseg.simulation.examining import Examined
    from quantseg.simulation.judging import Judgement
    from quantseg.simulation.others import Other
    from quantseg.simulation.program import Program
    from quantseg.simulation.proof import Sums

SHOWN = 10


@dataclass(frozen=True)
class Subject:
    """A quantised model, as a program, and the images for it."""

    path: Path
    model: "ir.Model"
    program: "Program"
    images: "Dataset"
    input_name: str


def opened(model: Path, data: Path, source: "RecipeSource", limit: int | None) -> Subject:
    """Reads all of it. Raises ModelError for a float model and for an unknown operator, before anything is computed."""
    from quantseg import graph
    from quantseg.data import open_dataset
    from quantseg.data.recipe import image_input
    from quantseg.quantization.float_model import resolve_recipe
    from quantseg.simulation.program import program, require_quantised

    loaded = graph.load(model)
    require_quantised(loaded, str(model))
    steps = program(loaded, what=str(model))
    recipe = resolve_recipe(loaded, str(model), source)
    taken = image_input(graph.signature(loaded)[0], recipe.input)
    images = open_dataset(data, recipe, inputs=taken, limit=limit, masks=False)
    return Subject(model, loaded, steps, images, taken.name)


def known_processor(name: str | None, against: str | None) -> "Processor":
    """The processor of this name; without one this machine's, found by trying, where onnxruntime is compared with.

    Raises PlanError for an unknown name.
    """
    from quantseg.runtimes import RUNTIMES
    from quantseg.simulation.arithmetic.processors import EXACT, named
    from quantseg.simulation.saturation.machine import this_processor

    if name is not None:
        return named(name)
    return this_processor(RUNTIMES[against]) if against == "onnxruntime" else EXACT


def show_processor(processor: "Processor", *, found: bool, against: str | None) -> None:
    """Whose kernels were simulated, and whether that was found by trying."""
    tried = ", this machine, found by trying" if found and against == "onnxruntime" else ""
    console.say(f"kernels: {processor.name} ({processor.means}){tried}")


@contextmanager
def other(against: str, subject: Subject, rounding: str, threads: int, processor: "Processor") -> "Iterator[Other]":
    """What is compared with: a runtime by name, a model by its .onnx, else a saved run."""
    from contextlib import closing

    from quantseg import graph
    from quantseg.errors import DataError
    from quantseg.runtimes import RUNTIMES
    from quantseg.simulation.others import InRuntime, Simulated
    from quantseg.simulation.program import program, require_quantised
    from quantseg.simulation.saved import SavedRun

    if against == "onnxruntime":
        opened: Other = InRuntime(subject.model, subject.program, RUNTIMES[against], threads=threads)
    elif against.endswith(".onnx"):
        loaded = graph.load(Path(against))
        require_quantised(loaded, against)
        opened = Simulated(program(loaded, what=against), rounding, processor)
    elif Path(against).is_file():
        opened = SavedRun(Path(against), subject.images.names)
    else:
        raise DataError(f"{against!r} is neither onnxruntime, a saved run nor an .onnx model; check --against")
    with closing(opened):
        yield opened


def show(subject: Subject, found: "Examined", *, verbose: bool, against: str | None) -> None:
    """The program, its sums, and the comparison."""
    steps = subject.program.steps
    integer, in_float = sum(s.is_integer for s in steps), sum(s.is_float for s in steps)
    count = len(subject.images.names)
    console.say(
        f"{len(steps)} operators: {integer} in integers, {in_float} in float, {len(steps) - integer - in_float} move "
        f"or store numbers; {count} image{'s' if count > 1 else ''}"
    )
    if found.sums:
        _show_sums(tuple(found.sums.values()), verbose)
    if against is not None:
        _show_comparison(subject, found.judgement, against)


def _show_sums(sums: "tuple[Sums, ...]", verbose: bool) -> None:
    from quantseg.report import tables

    ranked = sums if verbose else sorted(sums, key=lambda s: (-len(s.saturating), -s.possible))[:SHOWN]
    names = tables.telling([s.node for s in ranked], 40)
    rows = [
        (
            name,
            len(s.largest),
            f"{s.seen:,}",
            f"{s.possible:,}",
            s.bits,
            None if s.saturation is None else f"{int(s.saturation.pairs.sum()):,}",
            None if s.saturation is None else len(s.saturating),
        )
        for name, s in zip(names, ranked, strict=True)
    ]
    headers = ("product", "channels", "largest sum", "possible", "bits", "pairs > 16 bits", "in")
    console.say("\n" + tables.terminal(headers, rows))
    if len(ranked) < len(sums):
        console.say(f"and {len(sums) - len(ranked)} more products; --verbose lists all")
    over = [s for s in sums if s.overflowing]
    widest = max(s.bits for s in sums)
    console.say(
        f"\nint32: no accumulator can overflow; {widest} bits hold every one"
        if not over
        else f"\nint32: {len(over)} products could overflow, the first {over[0].node!r} in channel "
        f"{over[0].overflowing[0]}; {widest} bits would hold every accumulator"
    )
    pairs = [s for s in sums if s.saturation is not None]
    looked_at = sum(s.saturation.sums for s in pairs if s.saturation is not None)
    hit = sum(int(s.saturation.pairs.sum()) for s in pairs if s.saturation is not None)
    channels = sum(len(s.saturating) for s in pairs)
    could = sum(int(s.saturation.possible.sum()) for s in pairs if s.saturation is not None)
    if not looked_at:
        console.say("16-bit pair sums (AVX2 without VNNI): no product of uint8 and int8 that is not depthwise")
        return
    if not hit:
        why = "none could" if not could else f"{could} channels could, with other pictures"
        console.say(f"16-bit pair sums (AVX2 without VNNI): none of {looked_at:,} saturates; {why}")
        return
    console.say(f"16-bit pair sums (AVX2 without VNNI): {hit:,} of {looked_at:,} saturate, in {channels} channels:")
    named = [s for s in ranked if s.saturating]
    for s in named:
        console.say(_named(s.node, s.saturating))
    left_out = sum(bool(s.saturating) for s in sums) - len(named)
    if left_out:
        console.say(f"  and of {left_out} more product{'s' if left_out > 1 else ''}; --verbose and --json name all")
    console.say("quantseg quantize, without --full-range-weights, writes a model in which none can")


def _named(node: str, channels: tuple[int, ...]) -> str:
    """A node and its channels in one line; those that do not fit are counted."""
    from quantseg.report import tables

    start = f"  {tables.shortened(node, 40)}: "
    for shown in range(len(channels), 0, -1):
        rest = len(channels) - shown
        line = start + ", ".join(map(str, channels[:shown])) + (f" … and {rest} more" if rest else "")
        if len(line) <= tables.WIDTH:
            break
    return line


def _show_comparison(subject: Subject, judgement: "Judgement", against: str) -> None:
    from quantseg.report import tables

    wrong = judgement.in_order(subject.program, integer=True)
    equal = len(judgement.integers) - len(wrong)
    console.say(
        f"\nagainst {against}: {equal} of {len(judgement.integers)} integer tensors equal bit for bit, "
        f"{judgement.values:,} values"
    )
    if wrong:
        console.say(_told("first difference", wrong[0]))
        rows = [(one.tensor, one.op_type, f"{one.values:,}", f"{one.size:,}", one.largest) for one in wrong[:SHOWN]]
        console.say("\n" + tables.terminal(("tensor", "operator", "differ", "of", "by at most"), rows))
        if against == "onnxruntime":
            console.say("quantseg inspect tells what onnxruntime runs in float instead")
    in_float = judgement.in_order(subject.program, integer=False)
    if judgement.floats:
        most = max((one.largest for one in in_float), default=0.0)
        console.say(
            f"float: {len(judgement.floats) - len(in_float)} of {len(judgement.floats)} tensors equal, the others by "
            f"{tables.real(most)} at most; integers behind them are computed from the other's float numbers"
            if in_float
            else f"float: {len(judgement.floats)} of {len(judgement.floats)} tensors equal bit for bit"
        )
    if judgement.whole:
        differing = tuple(judgement.outputs.values())
        console.say(
            "the model as users run it: outputs equal bit for bit"
            if not differing
            else _told("the model as users run it differs", differing[0])
        )


def _told(what: str, one: "Difference") -> str:
    """A difference in words, with its first values."""
    values = (f"  at {list(e.place)}: {e.mine:.6g} here, {e.other:.6g} there" for e in one.examples)
    return "\n".join(
        (
            f"{what}: node {one.node!r} ({one.op_type})",
            f"  tensor {one.tensor!r}",
            f"  image {one.image}: {one.values:,} of {one.size:,} values, by at most {one.largest:g}",
            *values,
        )
    )


def with_one_image(
    model: Path, data: Path | None, source: "RecipeSource"
) -> "tuple[Program, Mapping[str, NDArray[Any]]]":
    """The program and what it is fed: the first image, or noise that is the same on every call."""
    from quantseg import graph
    from quantseg.mixed_precision import feeds as measuring
    from quantseg.simulation.program import program, require_quantised

    if data is not None:
        subject = opened(model, data, source, 1)
        return subject.program, {subject.input_name: subject.images.load(0).tensor}
    loaded = graph.load(model)
    require_quantised(loaded, str(model))
    return program(loaded, what=str(model)), measuring.feeds_for(model, source)
