"""Whether an int8 model gains anything: a network of few and small products does not, and is better left float."""

from quantseg.mixed_precision.risk import price_of
from quantseg.mixed_precision.target_facts import PORTABLE
from quantseg.mixed_precision.targets import TargetOptions, input_shapes
from quantseg.quantization.writing import QuantizedModel


def slowdown_without_gain(made: QuantizedModel, float_bytes: int, target: TargetOptions) -> float | None:
    """How many times as long as float the model takes, where it is not smaller either; None where it gains anything.

    float_bytes: of the float model's file. The time is by the fixed rates of mixed_precision/risk/price.py, which are
    of onnxruntime's kernels: other targets, and those that are timed, are not judged.
    """
    if target.target != PORTABLE or made.size < float_bytes:
        return None
    candidate = made.candidate
    price = price_of(candidate.prepared, candidate.plan, input_shapes(candidate.model))
    return None if price.gain > 0 else price.total / price.in_float
