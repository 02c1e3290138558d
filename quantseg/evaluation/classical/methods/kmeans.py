"""k-means on colour: pixels are grouped by colour alone, wherever they lie.

Source: MacQueen, Berkeley Symposium 1, 1967; Lloyd, IEEE Trans. Information Theory 28(2), 1982. Twice as many groups as
classes, since a class may have several colours; the rule joins them again. Colours are counted first, so that the
result does not depend on where a pixel lies: a mirrored image has the mirrored mask.
"""

from quantseg.evaluation.classical.clustering import cluster
from quantseg.evaluation.classical.colours import Image, palette
from quantseg.evaluation.classical.segments import Segments

GROUPS_PER_CLASS = 2


def kmeans(image: Image, classes: int) -> Segments:
    """One segment for each group of colours."""
    known = palette(image)
    return cluster(known.colours, known.pixels, GROUPS_PER_CLASS * classes)[known.index]
