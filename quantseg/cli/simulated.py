"""Prints the result of a simulation."""

from typing import TYPE_CHECKING

from quantseg.cli import console
from quantseg.errors import printable

if TYPE_CHECKING:
    from quantseg.simulation.difference import Difference
    from quantseg.simulation.proof import Sums
    from quantseg.simulation.simulating import Simulation

SHOWN = 10


def show_processor(simulation: "Simulation", *, found: bool) -> None:
    """Prints which processor's kernels were simulated. found: whether the flag left the choice to us."""
    processor = simulation.processor
    tried = ", this machine, found by trying" if found and simulation.against == "onnxruntime" else ""
    console.say(f"kernels: {processor.name} ({processor.means}){tried}")


def show(simulation: "Simulation", *, verbose: bool) -> None:
    """Prints the program, its accumulators, and the comparison."""
    steps, found = simulation.program.steps, simulation.found
    integer, in_float = sum(s.is_integer for s in steps), sum(s.is_float for s in steps)
    count = len(simulation.images)
    console.say(
        f"{len(steps)} operators: {integer} in integers, {in_float} in float, {len(steps) - integer - in_float} move "
        f"or store numbers; {count} image{'s' if count > 1 else ''}"
    )
    if found.sums:
        _show_sums(tuple(found.sums.values()), verbose)
    if simulation.against is not None:
        _show_comparison(simulation, simulation.against)


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
        why = "none could" if not could else f"{could} channels could, with other images"
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
    """A node and its channels in one line; channels that do not fit are only counted."""
    from quantseg.report import tables

    start = f"  {tables.shortened(node, 40)}: "
    for shown in range(len(channels), 0, -1):
        rest = len(channels) - shown
        line = start + ", ".join(map(str, channels[:shown])) + (f" … and {rest} more" if rest else "")
        if len(line) <= tables.WIDTH:
            break
    return line


def _show_comparison(simulation: "Simulation", against: str) -> None:
    from quantseg.report import tables

    program, judgement = simulation.program, simulation.found.judgement
    wrong = judgement.in_order(program, integer=True)
    equal = len(judgement.integers) - len(wrong)
    console.say(
        f"\nagainst {printable(against)}: {equal} of {len(judgement.integers)} integer tensors equal bit for bit, "
        f"{judgement.values:,} values"
    )
    if wrong:
        console.say(_told("first difference", wrong[0]))
        rows = [(one.tensor, one.op_type, f"{one.values:,}", f"{one.size:,}", one.largest) for one in wrong[:SHOWN]]
        console.say("\n" + tables.terminal(("tensor", "operator", "differ", "of", "by at most"), rows))
        if against == "onnxruntime":
            console.say("quantseg inspect tells what onnxruntime runs in float instead")
    in_float = judgement.in_order(program, integer=False)
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
    """A difference as text, with its first values."""
    values = (f"  at {list(e.place)}: {e.mine:.6g} here, {e.other:.6g} there" for e in one.examples)
    return "\n".join(
        (
            f"{what}: node {one.node!r} ({printable(one.op_type)})",
            f"  tensor {one.tensor!r}",
            f"  image {printable(one.image)}: {one.values:,} of {one.size:,} values, by at most {one.largest:g}",
            *values,
        )
    )
