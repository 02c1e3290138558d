"""The risk of each tensor that a plan rounds, measured with that tensor alone rounded and all else in float."""

from collections.abc import Sequence
from functools import partial

import onnx_ir as ir

from quantseg.calibration.context import Context
from quantseg.mixed_precision.risk.choice import Source
from quantseg.mixed_precision.risk.reference_outputs import ReferenceOutputs
from quantseg.quantization.candidate import Candidate
from quantseg.quantization.fake_quant import fake_quantised, rounded_tensors
from quantseg.quantization.operators import IntegerForm, Kind, integer_form
from quantseg.quantization.plan import QuantPlan


def sources(
    candidate: Candidate, reference: ReferenceOutputs, context: Context, tensors: Sequence[str] | None = None
) -> tuple[Source, ...]:
    """The tensors that the candidate's plan rounds, with their mean risk over the images of the reference outputs.

    tensors: those of them that are measured; None: all.

    Weights are left out, for two reasons: compensated rounding reduces their errors, and a weight alone cannot be left
    float, since onnxruntime (1.31) fuses a float product between rounded tensors into an integer one.
    """
    model, plan = candidate.prepared.model, candidate.plan
    values = {value.name: value for value in (*model.graph.inputs, *(o for node in model.graph for o in node.outputs))}
    tensors = rounded_tensors(model, plan) if tensors is None else tuple(tensors)
    alone = [partial(fake_quantised, model, plan, weights=(), tensors=(tensor,)) for tensor in tensors]
    risks = reference.side_by_side(alone, context, "risk of each tensor")
    return tuple(Source(name, found, _around(values[name], plan)) for name, found in zip(tensors, risks, strict=True))


def _around(value: ir.Value, plan: QuantPlan) -> frozenset[str]:
    """The integer nodes that write or read the value, also through clamps that its grid replaces and data movement."""
    integer = {node.name for node in plan.quantised}
    found, seen, left = set[str](), set[ir.Value](), [value]
    while left:
        current = left.pop()
        if current in seen:
            continue
        seen.add(current)
        maker = current.producer()
        if maker is not None and maker.name in integer:
            found.add(str(maker.name))
            if maker.name in plan.dropped and maker.inputs[0] is not None:
                left.append(maker.inputs[0])
        for user, _ in current.uses():
            if user.name not in integer:
                continue
            found.add(str(user.name))
            form = integer_form(user)
            if user.name in plan.dropped or (isinstance(form, IntegerForm) and form.kind is Kind.MOVEMENT):
                left.extend(user.outputs)
    return frozenset(found)
