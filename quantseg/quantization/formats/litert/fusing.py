"""Edits of a finished network: activations fused into the operator before them, and operators that nothing reads.

Kernels clamp their results at no cost, so a RELU, RELU6 or RELU_N1_TO_1 becomes an option of the operator that makes
its input, also past a SLICE that crops; in integers where all have the same grid.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from quantseg.files.tflite.schema import NONE, RELU, RELU6, RELU_N1_TO_1
from quantseg.quantization.formats.litert.network import Operator, Tensor

_CODES = {"RELU": RELU, "RELU6": RELU6, "RELU_N1_TO_1": RELU_N1_TO_1}
_TAKING = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "SUB", "TRANSPOSE_CONV"})


def fused(operators: Sequence[Operator], outputs: Sequence[Tensor]) -> tuple[Operator, ...]:
    """The operators with activations fused."""
    readers = Counter(one for operator in operators for one in operator.inputs if one is not None)
    readers.update(outputs)
    makers: dict[Tensor, int] = {}
    done: list[Operator] = []
    for operator in operators:
        source = operator.inputs[0] if operator.kind in _CODES else None
        place = makers.get(source) if source is not None else None
        last = place
        while last is not None and done[last].kind == "SLICE" and _feeds_only(done[last], operator, readers):
            inner = done[last].inputs[0]
            last = None if inner is None else makers.get(inner)
        if place is not None and last is not None and _can_take(done[last], operator, readers):
            options = {**done[last].options, "fused_activation_function": _CODES[operator.kind]}
            done[last] = replace(done[last], options=options)
            done[place] = replace(done[place], outputs=operator.outputs)
            makers[operator.outputs[0]] = place
            continue
        makers |= dict.fromkeys(operator.outputs, len(done))
        done.append(operator)
    return tuple(done)


def _feeds_only(before: Operator, operator: Operator, readers: Mapping[Tensor, int]) -> bool:
    """Whether nothing else reads the result, which is on the activation's own grid."""
    return readers[before.outputs[0]] == 1 and before.outputs[0].params == operator.outputs[0].params


def _can_take(before: Operator, operator: Operator, readers: Mapping[Tensor, int]) -> bool:
    free = before.kind in _TAKING and before.options.get("fused_activation_function", NONE) == NONE
    return free and _feeds_only(before, operator, readers)


def needed(operators: Sequence[Operator], outputs: Sequence[Tensor]) -> tuple[Operator, ...]:
    """The operators that the outputs depend on, in the same order."""
    wanted, kept = set(outputs), list[Operator]()
    for operator in reversed(operators):
        if wanted.intersection(operator.outputs):
            kept.append(operator)
            wanted.update(one for one in operator.inputs if one is not None)
    return tuple(reversed(kept))
