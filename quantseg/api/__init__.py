"""The public functions; the command line calls the same ones.

Each function takes a model and images in any of the accepted forms. Options are given as keyword arguments (see
`refinement.options.Options.of`) or as one `Options` value, options=. report, compare and search evaluate exactly the
model that `quantize` writes with the same options: all are composed of `quantseg.api.stages`.

Images are a folder, an address (camvid:roads#train), a Dataset, an iterable of model inputs or of (input, mask) pairs,
or a torch DataLoader. The test suite runs every example after `import quantseg as qs`, in a folder that holds
model.onnx, calib/ and val/.
"""

from quantseg.api.checking import check
from quantseg.api.judging import benchmark, compare, evaluate, explain, inspect, report, simulate
from quantseg.api.making import calibrate, error_sources, load, quantize, search, sensitivity
from quantseg.api.shipping import ship
from quantseg.api.stages import Model, Recipe

__all__ = [
    "Model",
    "Recipe",
    "benchmark",
    "calibrate",
    "check",
    "compare",
    "error_sources",
    "evaluate",
    "explain",
    "inspect",
    "load",
    "quantize",
    "report",
    "search",
    "sensitivity",
    "ship",
    "simulate",
]
