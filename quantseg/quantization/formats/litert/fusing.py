"""Edits of a finished network: activations fused into the operator before them, and operators that nothing reads.

Kernels clamp their results at no cost, so a RELU, RELU6 or RELU_N1_TO_1 becomes an option of the operator that makes
its input; in integers where both write the same grid.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from quantseg.files.tflite.schema import NONE, RELU, RELU6, RELU_N1_TO_1
from quantseg.quantization.formats.litert.network import Operator, Tensor

_CODES = {"RELU": RELU, "RELU6": RELU6, "RELU_N1_TO_1": RELU_N1_TO_1}
_TAKING = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "SUB"})


def fused(operators: Sequence[Operator], outputs: Sequence[Tensor]) -> tuple[Operator, ...]:
    """The operators with activations fused."""
    readers = Counter(one for operator in operators for one in operator.inputs if one is not None)
    readers.update(outputs)
    makers: dict[Tensor, int] = {}
    done: list[Operator] = []
    for operator in operators:
        place = makers.get(operator.inputs[0]) if operator.kind in _CODES and operator.inputs[0] is not None else None
        before = None if place is None else done[place]
        alone = before is not None and readers[before.outputs[0]] == 1
        alone = alone and before.outputs[0].params == operator.outputs[0].params
        if before is not None and place is not None and alone and _can_take(before):
            options = {**before.options, "fused_activation_function": _CODES[operator.kind]}
            done[place] = replace(before, outputs=operator.outputs, options=options)
            makers[operator.outputs[0]] = place
            continue
        makers |= dict.fromkeys(operator.outputs, len(done))
        done.append(operator)
    return tuple(done)


def _can_take(operator: Operator) -> bool:
    return operator.kind in _TAKING and operator.options.get("fused_activation_function", NONE) == NONE


def needed(operators: Sequence[Operator], outputs: Sequence[Tensor]) -> tuple[Operator, ...]:
    """The operators that the outputs depend on, in the same order."""
    wanted, kept = set(outputs), list[Operator]()
    for operator in reversed(operators):
        if wanted.intersection(operator.outputs):
            kept.append(operator)
            wanted.update(one for one in operator.inputs if one is not None)
    return tuple(reversed(kept))
