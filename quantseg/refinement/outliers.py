"""Channels that are far wider than the others of their tensor: they set its step, and the others pay for it."""

import numpy as np

from quantseg.calibration.observation import Observations

MANY_TIMES = 8.0
"""How many times as wide as the median channel: three of its eight bits are lost to them."""

_DEAD = 1e-6
"""A channel narrower than this share of the widest is dead: no grid that both share tells it from zero."""

_NAMED = 4
"""Channels named in one note; of more, the number is told."""


def outliers(observations: Observations) -> tuple[str, ...]:
    """A note for each tensor that has such channels, in the graph's order, the widest channel first.

    Widths contain zero, as grids do. The median is that of the channels that are not dead; where they are two or fewer
    there is nothing to compare with.
    """
    notes = []
    for name, extrema in observations.channels.items():
        widths = np.maximum(extrema.maxima, 0).astype(np.float64) - np.minimum(extrema.minima, 0)
        alive = widths[widths > _DEAD * widths.max(initial=0.0)]
        median = float(np.median(alive)) if alive.size > 2 else 0.0
        wide = [int(channel) for channel in np.argsort(-widths, kind="stable") if widths[channel] > MANY_TIMES * median]
        if median <= 0 or not wide:
            continue
        which = ", ".join(map(str, wide[:_NAMED])) + (f" and {len(wide) - _NAMED} more" if len(wide) > _NAMED else "")
        noun = "channels" if len(wide) > 1 else "channel"
        notes.append(f"{name}: {noun} {which} up to {widths[wide[0]] / median:.0f} times as wide as the median channel")
    return tuple(notes)
