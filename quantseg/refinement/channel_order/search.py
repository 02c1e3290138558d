"""Searches the order of the channels of each block for which the scales of the products that read them grow least.

One block is searched at a time, a large block in parts that the limit on operations allows. A new order is kept only if
it lowers the bits lost: log2 of the growth of the scale, summed over output channels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from quantseg.quantization import pairs as pair_rule
from quantseg.quantization.affine import F32, F64
from quantseg.refinement.channel_order.pairing import SWEEPS, Ids, Rows, improved, pair_costs, raised

_WORK = 2_000_000_000
"""Most elementary operations for a model: two to four seconds of one core."""
_MOST_ROUNDS, _WIDEST = 4, 160
"""Most rounds over the blocks, and most channels of a block that are searched at once."""
_ROOM = 1 << 25
"""Most pair costs that are held in memory at once."""


@dataclass(frozen=True, eq=False)
class RowReader:
    """A product that reads channels.

    steps: its weights in steps of the grid that follows from their extrema, (output channels, in/group, taps). read:
    classes of all input channels.
    """

    steps: F32
    groups: int
    read: Ids

    @property
    def within(self) -> int:
        """The number of input channels of a group."""
        return int(self.steps.shape[1])

    @property
    def pairs_channels(self) -> bool:
        """Whether kernels always pair two channels of one tap."""
        return self.within % 2 == 0 or self.steps.shape[2] == 1

    def rows(self, group: int) -> F32:
        """The weights of the output channels of one group."""
        count = len(self.steps) // self.groups
        return self.steps[group * count : (group + 1) * count]


@dataclass(frozen=True)
class Run:
    """A position at which a product reads a block: the product, the group, and the block's first channel in it."""

    reader: int
    group: int
    start: int


def bits(steps: F32) -> F64:
    """Bits lost: log2 of the factor by which the scale of each output channel must grow, (output channels,)."""
    lost: F64 = np.log2(np.maximum(pair_rule.excess(steps), 1.0))
    return lost


def ordered(readers: Sequence[RowReader], blocks: Sequence[Ids], *, work: int = _WORK) -> tuple[Ids, ...]:
    """For each block the new order of its channels: new position → old position.

    work: limit on elementary operations. The same readers give the same orders on every processor.
    """
    search = _Search(readers, [np.arange(len(reader.read)) for reader in readers])
    runs = [_runs(readers, block) for block in blocks]
    orders = [np.arange(len(block)) for block in blocks]
    width, rounds = _affordable(readers, blocks, runs, work)
    random = np.random.default_rng(0)
    for _ in range(rounds if width else 0):
        gained = False
        for number, block in enumerate(blocks):
            main = _main(readers, runs[number])
            if not main:
                continue
            order = search.better(runs[number], main, len(block), width, random)
            if order is not None:
                orders[number], gained = orders[number][order], True
        if not gained:
            break
    return tuple(orders)


@dataclass
class _Search:
    """The state of the search. places: for each reader, new position → old position of its input channels."""

    readers: Sequence[RowReader]
    places: list[Ids]

    def better(
        self, runs: Sequence[Run], main: Sequence[Run], count: int, width: int, random: np.random.Generator
    ) -> Ids | None:
        """Finds a better order of a block, applies it and returns it; None where none is found.

        runs: all positions of the block. main: those that are searched with. count: its channels. width: how many of
        them are searched at once.
        """
        groups = sorted({(run.reader, run.group) for run in runs})
        before, kept = self.lost(groups), list(self.places)
        order = self._matched(main, count, width, random)
        for run in runs:
            start = run.group * self.readers[run.reader].within + run.start
            places = self.places[run.reader].copy()
            places[start : start + count] = places[start : start + count][order]
            self.places[run.reader] = places
        if self.lost(groups) < before - 1e-6:
            return order
        self.places = kept
        return None

    def steps(self, reader: int, group: int) -> F32:
        """The weights of a group in the present order."""
        one = self.readers[reader]
        places = self.places[reader][group * one.within : (group + 1) * one.within] - group * one.within
        return one.rows(group)[:, places]

    def lost(self, groups: Sequence[tuple[int, int]]) -> float:
        """Bits lost in all rows of these groups."""
        return float(sum(bits(self.steps(*group)).sum() for group in groups))

    def _matched(self, runs: Sequence[Run], count: int, width: int, random: np.random.Generator) -> Ids:
        """The order by the best matching found. If the block ends within a pair, its neighbour there stays fixed."""
        parity = runs[0].start % 2
        outside = parity + (count + parity) % 2
        total = count + outside  # with the neighbouring channels outside the block, which stay in place
        matching = np.arange(total).reshape(-1, 2)
        rows = self._rows(runs, parity, total)
        height = sum(group[0].above.shape[2] for group, _ in rows)
        width = min(width, max(4, int((_ROOM / height) ** 0.5)))
        for part in _parts(len(matching), width // 2, random):
            chosen = matching[part].reshape(-1)
            costs = pair_costs([[_taken(run, chosen) for run in group] for group, _ in rows])
            beside = np.concatenate(
                [all_of + _of_pairs(group, np.delete(matching, part, axis=0)) for group, all_of in rows]
            )
            for a, b in ((0, total - 1), (total - 1, 0)) if outside == 2 else ():  # fixed neighbours are never paired
                costs[np.ix_(chosen == a, chosen == b)] = np.inf
            found = improved(costs, beside, np.arange(len(chosen)).reshape(-1, 2))
            matching[part] = chosen[found]
        return _laid_out(matching, parity, total, count)

    def _rows(self, runs: Sequence[Run], parity: int, total: int) -> list[tuple[list[Rows], F32]]:
        """For each group that reads the block, its weights at each run and neighbours, and the sum over other pairs."""
        found = []
        for reader, group in sorted({(run.reader, run.group) for run in runs}):
            steps = self.steps(reader, group)
            if steps.shape[1] % 2:
                steps = np.concatenate([steps, np.zeros_like(steps[:, :1])], axis=1)
            starts = [run.start - parity for run in runs if (run.reader, run.group) == (reader, group)]
            outside = np.ones(steps.shape[1], np.bool_)
            for start in starts:
                outside[start : start + total] = False
            rest = Rows.of(steps[:, outside])
            everything = _of_pairs([rest], np.arange(int(outside.sum())).reshape(-1, 2))
            found.append(([Rows.of(steps[:, start : start + total]) for start in starts], everything))
        return found


def _taken(rows: Rows, channels: Ids) -> Rows:
    return Rows(rows.above[channels], rows.below[channels])


def _of_pairs(runs: Sequence[Rows], pairs: Ids) -> F32:
    """The sum of x^16 over these pairs, (rows,); of several runs the largest x of a pair counts."""
    if not len(pairs):
        return np.zeros(runs[0].above.shape[2], np.float32)
    sums = [
        np.maximum(
            rows.above[pairs[:, 0]] + rows.above[pairs[:, 1]], rows.below[pairs[:, 0]] + rows.below[pairs[:, 1]]
        ).max(axis=1)
        for rows in runs
    ]
    total: F32 = raised(np.maximum.reduce(sums)).sum(axis=0)
    return total


def _laid_out(matching: Ids, parity: int, total: int, count: int) -> Ids:
    """The order of the block's channels from a matching; the fixed neighbours keep the first and the last position."""
    pairs = [tuple(int(channel) for channel in pair) for pair in matching]
    first = [pair for pair in pairs if parity and 0 in pair]
    last = [pair for pair in pairs if total > count + parity and total - 1 in pair]
    middle = [pair for pair in pairs if pair not in first and pair not in last]
    line = [*(channel for pair in first for channel in sorted(pair)), *(channel for pair in middle for channel in pair)]
    line += [channel for pair in last for channel in sorted(pair)]
    return np.array(line, np.int64)[parity : parity + count] - parity


def _parts(count: int, most: int, random: np.random.Generator) -> Iterator[Ids]:
    """The indices of all pairs, split at random into parts of at most `most`."""
    shuffled = random.permutation(count)
    parts = -(-count // max(most, 2))
    return (np.sort(part) for part in np.array_split(shuffled, parts))


def _runs(readers: Sequence[RowReader], block: Ids) -> list[Run]:
    """All positions at which products with pair sums read the block."""
    found = []
    for number, reader in enumerate(readers):
        for place in np.flatnonzero(reader.read == block[0]):
            group, start = divmod(int(place), reader.within)
            found.append(Run(number, group, start))
    return found


def _main(readers: Sequence[RowReader], runs: Sequence[Run]) -> list[Run]:
    """The runs that are searched with: those with the same parity of their start, and so with the same pairs.

    Of even and odd starts the side with more rows is taken; the other runs count only when a new order is checked.
    """
    sides: tuple[list[Run], list[Run]] = ([], [])
    for run in runs:
        if readers[run.reader].pairs_channels:
            sides[run.start % 2].append(run)
    return max(sides, key=lambda side: sum(len(readers[run.reader].rows(run.group)) for run in side))


def _affordable(
    readers: Sequence[RowReader], blocks: Sequence[Ids], runs: Sequence[Sequence[Run]], work: int
) -> tuple[int, int]:
    """How many channels are searched at once, and the number of rounds; (0, 0) if even the least exceeds the limit."""

    def cost(width: int) -> int:
        total = 0
        for block, of_block in zip(blocks, runs, strict=True):
            for run in _main(readers, of_block):
                reader = readers[run.reader]
                rows, taps = len(reader.rows(run.group)), reader.steps.shape[2]
                total += rows * len(block) * (min(width, len(block)) * (2 * taps + 5 * SWEEPS) + 20 * taps)
        return total

    width = _WIDEST
    while width > 4 and cost(width) > work:
        width = width // 2 // 2 * 2
    least = cost(width)
    if least > work:
        return 0, 0
    return width, min(_MOST_ROUNDS, work // max(least, 1))
