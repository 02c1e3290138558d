"""quantseg: float segmentation models in, int8 models out, with the proof that they draw the same mask.

    import quantseg as qs
    qs.quantize("model.onnx", "calib/").save("model.int8.onnx")

Verbs and values are loaded when they are asked for, so that importing costs nothing.
"""

import sys
from types import ModuleType

TYPE_CHECKING = False  # typing takes milliseconds to load, in which the command could not answer Ctrl-C yet
if TYPE_CHECKING:
    import typing

    from quantseg.api import benchmark as benchmark
    from quantseg.api import calibrate as calibrate
    from quantseg.api import check as check
    from quantseg.api import compare as compare
    from quantseg.api import error_sources as error_sources
    from quantseg.api import evaluate as evaluate
    from quantseg.api import explain as explain
    from quantseg.api import inspect as inspect
    from quantseg.api import load as load
    from quantseg.api import quantize as quantize
    from quantseg.api import report as report
    from quantseg.api import search as search
    from quantseg.api import sensitivity as sensitivity
    from quantseg.api import ship as ship
    from quantseg.api import simulate as simulate
    from quantseg.calibration.calibrate import Calibrated as Calibrated
    from quantseg.calibration.file import Calibration as Calibration
    from quantseg.data.dataset import Dataset as Dataset
    from quantseg.data.dataset import Item as Item
    from quantseg.errors import QuantSegError as QuantSegError
    from quantseg.evaluation.agreement import Evaluation as Evaluation
    from quantseg.evaluation.checking.values import Check as Check
    from quantseg.evaluation.tool_comparison import ToolComparison as ToolComparison
    from quantseg.mixed_precision.budget.search import Found as Found
    from quantseg.mixed_precision.error_sources.values import ErrorSources as ErrorSources
    from quantseg.mixed_precision.sensitivity.values import Sensitivity as Sensitivity
    from quantseg.quantization.float_model import FloatModel as FloatModel
    from quantseg.quantization.plan.plan import QuantPlan as QuantPlan
    from quantseg.quantization.writing import QuantizedModel as QuantizedModel
    from quantseg.refinement.options import Options as Options
    from quantseg.report.content import Report as Report
    from quantseg.runtimes.inspection import Inspection as Inspection
    from quantseg.runtimes.latency import Timings as Timings
    from quantseg.simulation.explaining.explanation import Explanation as Explanation
    from quantseg.simulation.simulating import Simulation as Simulation

__version__ = "0.1.0"

_HOMES = {
    "benchmark": "quantseg.api",
    "calibrate": "quantseg.api",
    "check": "quantseg.api",
    "compare": "quantseg.api",
    "error_sources": "quantseg.api",
    "evaluate": "quantseg.api",
    "explain": "quantseg.api",
    "inspect": "quantseg.api",
    "load": "quantseg.api",
    "quantize": "quantseg.api",
    "report": "quantseg.api",
    "search": "quantseg.api",
    "sensitivity": "quantseg.api",
    "ship": "quantseg.api",
    "simulate": "quantseg.api",
    "Calibrated": "quantseg.calibration.calibrate",
    "Calibration": "quantseg.calibration.file",
    "Check": "quantseg.evaluation.checking.values",
    "ToolComparison": "quantseg.evaluation.tool_comparison",
    "Dataset": "quantseg.data.dataset",
    "ErrorSources": "quantseg.mixed_precision.error_sources.values",
    "Evaluation": "quantseg.evaluation.agreement",
    "Explanation": "quantseg.simulation.explaining.explanation",
    "FloatModel": "quantseg.quantization.float_model",
    "Found": "quantseg.mixed_precision.budget.search",
    "Inspection": "quantseg.runtimes.inspection",
    "Item": "quantseg.data.dataset",
    "Options": "quantseg.refinement.options",
    "QuantPlan": "quantseg.quantization.plan.plan",
    "QuantSegError": "quantseg.errors",
    "QuantizedModel": "quantseg.quantization.writing",
    "Report": "quantseg.report.content",
    "Sensitivity": "quantseg.mixed_precision.sensitivity.values",
    "Simulation": "quantseg.simulation.simulating",
    "Timings": "quantseg.runtimes.latency",
}
"""Name → the module that it is loaded from."""

__all__ = ["__version__", *_HOMES]


class _Front(ModuleType):
    """This module. Importing the room report/ does not put it in the place of the verb `report`."""

    def __setattr__(self, name: str, value: object) -> None:
        if name not in _HOMES or not isinstance(value, ModuleType):
            super().__setattr__(name, value)


def __getattr__(name: str) -> "typing.Any":
    if name not in _HOMES:
        raise AttributeError(f"module 'quantseg' has no attribute {name!r}")
    import importlib

    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


sys.modules[__name__].__class__ = _Front
