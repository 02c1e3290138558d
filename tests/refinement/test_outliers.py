"""Which channels reach far beyond the others of their tensor: named widest first, in a short line."""

import numpy as np

from quantseg.calibration.observation import ChannelExtrema, Observations
from quantseg.refinement.outliers import outliers


def test_outliers_are_named_widest_first():
    low = np.zeros(9, np.float32)
    high = np.array([1, 1, 400, 1, 1, 1, 1, 90, 1], np.float32)
    flat = ChannelExtrema(low, np.ones(9, np.float32))
    dead = ChannelExtrema(low, np.eye(9, dtype=np.float32)[0])
    seen = Observations({}, {"t": ChannelExtrema(low, high), "flat": flat, "dead": dead}, ())
    assert outliers(seen) == ("t: channels 2, 7 up to 400 times as wide as the median channel",)


def test_channels_that_are_nearly_dead_are_no_measure_of_the_others():
    """Most are narrower than any grid tells from zero; of those left, one is far wider, or all are alike."""
    high = np.full(40, 1e-38, np.float32)
    high[:4] = 1, 1, 1, 20
    alike = np.minimum(high, 1)
    seen = {name: ChannelExtrema(np.zeros(40, np.float32), values) for name, values in (("t", high), ("u", alike))}
    assert outliers(Observations({}, seen, ())) == ("t: channel 3 up to 20 times as wide as the median channel",)


def test_a_note_on_many_channels_stays_one_short_line():
    high = np.ones(300, np.float32)
    high[:100] = 50
    (note,) = outliers(Observations({}, {"t": ChannelExtrema(np.zeros(300, np.float32), high)}, ()))
    assert note == "t: channels 0, 1, 2, 3 and 96 more up to 50 times as wide as the median channel"
