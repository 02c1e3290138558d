"""The table of the classical methods, in the order of tables: from thresholds to graphs."""

from collections.abc import Mapping

from quantseg.evaluation.classical.methods.canny import canny
from quantseg.evaluation.classical.methods.kmeans import kmeans
from quantseg.evaluation.classical.methods.normalised_cuts import normalised_cuts
from quantseg.evaluation.classical.methods.otsu import otsu
from quantseg.evaluation.classical.methods.random_walker import random_walker
from quantseg.evaluation.classical.methods.slic import slic
from quantseg.evaluation.classical.methods.watershed import watershed
from quantseg.evaluation.classical.segments import Method

CLASSICAL: Mapping[str, Method] = {
    "Otsu": otsu,
    "k-means": kmeans,
    "SLIC": slic,
    "Canny": canny,
    "watershed": watershed,
    "random walker": random_walker,
    "normalised cuts": normalised_cuts,
}
