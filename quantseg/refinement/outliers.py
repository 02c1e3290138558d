"""Outlier channels: far wider than the others of their tensor, so that they set its scale and the others lose bits."""

import numpy as np

from quantseg.calibration.observation import Observations

MANY_TIMES = 8.0
"""An outlier is wider than the median channel by this factor; the median channel then loses three of eight bits."""

_DEAD = 1e-6
"""A channel narrower than this share of the widest one is dead: on their common grid it rounds to zero."""

_NAMED = 4
"""Most channels that one note names; of the others it tells the number."""


def outliers(observations: Observations) -> tuple[str, ...]:
    """A note for each tensor with outlier channels, in the graph's order; it names the widest channel first.

    A channel's width is that of its range extended to zero. The median is over the channels that are not dead; tensors
    with two or fewer of these have no note.
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
