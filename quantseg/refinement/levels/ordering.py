"""Channels in an order in which fewer bits are lost for sums that are exact on every processor."""

from dataclasses import replace

from quantseg.quantization.plan import QuantSettings
from quantseg.quantization.qtypes import INT8
from quantseg.refinement.channel_order import reorder
from quantseg.refinement.levels.starts import Refined


def reordered(refined: Refined, settings: QuantSettings) -> Refined:
    """The same network in float and with the same ranges, its input channels in a better order where there is one.

    As it is where the settings leave nothing to gain: weights that are not int8, of one scale for all channels, or not
    bound; and where some are rounded already.
    """
    prepared = refined.model.prepared
    if prepared.weights or not (settings.bounds_pairs and settings.per_channel and settings.weight is INT8):
        return refined
    done = reorder(prepared)
    if done is None:
        return refined
    what = f"{done.before.mean:.2f} → {done.after.mean:.2f} bits lost per channel in the mean"
    notes = (*refined.notes, f"input channels reordered: {what}")
    return replace(refined, model=replace(refined.model, prepared=done.prepared), notes=notes)
