"""Which nodes compute in integers: every node gets an integer form or the reason why it stays float.

A convolution or matrix product is worth quantising everywhere. The cheap operators around it are quantised only inside
an integer region, and only upstream of another product: after the last one, integers would only round the output again.
"""

from fnmatch import fnmatchcase

import onnx_ir as ir

from quantseg.errors import PlanError
from quantseg.graph.preparation import Prepared
from quantseg.quantization.operators import IntegerForm, KeptFloat, Kind, integer_form
from quantseg.quantization.plan.decisive import decisive
from quantseg.quantization.plan.detection import kept_by_detection
from quantseg.quantization.plan.fusing import FUSED, fused_inputs
from quantseg.quantization.plan.overrides import Overrides
from quantseg.quantization.plan.settings import QuantSettings

ONLY_THE_HEAD = "only the output head follows, which integers would round once more"
"""Why a node after the last product stays float: for accuracy, not for speed."""

Decision = IntegerForm | KeptFloat
Decisions = dict[ir.Node, Decision]


def decide(prepared: Prepared, settings: QuantSettings, overrides: Overrides) -> Decisions:
    """A decision for each node of the prepared graph, in the graph's order.

    Where a lowering refused a node, the refusal's reason replaces the operator rule's. overrides: take precedence over
    the rules. Raises PlanError for an include or exclude pattern that matches no node, and where reduced_channels names
    a missing node.
    """
    nodes = list(prepared.model.graph)
    refusals = {refusal.node: refusal.reason for refusal in prepared.refusals}
    _check_patterns(nodes, settings)
    decisions: Decisions = {}
    for node in nodes:
        form = integer_form(node)
        if isinstance(form, KeptFloat) and str(node.name) in refusals:
            form = KeptFloat(f"{node.op_type}: {refusals[str(node.name)]}")
        elif reason := _unwanted(node, settings):
            form = KeptFloat(reason)
        elif isinstance(form, IntegerForm) and str(node.name) in overrides.kept_float:
            form = KeptFloat(overrides.kept_float[str(node.name)])
        decisions[node] = form
    decisions |= dict.fromkeys(fused_inputs(decisions, prepared.fused), KeptFloat(FUSED))
    free = [node for node in nodes if str(node.name) not in overrides.integer]
    speed_first = "lower_unpooling" not in prepared.without and prepared.kernels is None
    exact = [(node, reason) for node, reason in decisive(decisions, comparing=not speed_first) if node in free]
    decisions |= {node: KeptFloat(reason) for node, reason in exact}
    decisions |= {node: KeptFloat(reason) for node, reason in kept_by_detection(prepared.model.graph).items()}
    while _retreat(free, decisions):
        pass
    return decisions


def _matches(node: ir.Node, pattern: str) -> bool:
    return node.op_type == pattern or fnmatchcase(node.name or "", pattern)


def _unwanted(node: ir.Node, settings: QuantSettings) -> str | None:
    """Why the settings exclude the node from integers; None where they do not."""
    if any(_matches(node, pattern) for pattern in settings.exclude):
        return "excluded by exclude=…"
    if settings.include and not any(_matches(node, pattern) for pattern in settings.include):
        return "not among those of include=…"
    return None


def _check_patterns(nodes: list[ir.Node], settings: QuantSettings) -> None:
    for option, patterns in (("include", settings.include), ("exclude", settings.exclude)):
        for pattern in patterns:
            if not any(_matches(node, pattern) for node in nodes):
                raise PlanError(f"{option}={pattern!r}: no node has this name or type; the plan's nodes have the names")
    names = {node.name for node in nodes}
    for name, _ in settings.reduced_channels:
        if name not in names:
            raise PlanError(f"channels to reduce: no node {name!r} in this model; simulate the model made from it")


def _retreat(nodes: list[ir.Node], decisions: Decisions) -> bool:
    """One pass: nodes for which integers do not pay go back to float. Returns whether there were any."""
    leads_to_product = leading_to_product(decisions)
    changed = False
    for node in nodes:
        form = decisions[node]
        if isinstance(form, KeptFloat) or form.kind is Kind.PRODUCT:
            continue
        reason = _reason_to_retreat(node, form, decisions, leads_to_product)
        if reason:
            decisions[node] = KeptFloat(f"{node.op_type}: {reason}")
            changed = True
    return changed


def _reason_to_retreat(
    node: ir.Node, form: IntegerForm, decisions: Decisions, leads_to_product: set[ir.Node]
) -> str | None:
    variable = [v for i in form.data if (v := node.inputs[i]) is not None and not v.is_initializer()]
    producers = [v.producer() for v in variable]
    from_integers = any(p is not None and isinstance(decisions.get(p), IntegerForm) for p in producers)
    from_image = any(v.producer() is None or v.dtype == ir.DataType.UINT8 for v in variable)
    if not from_integers and not (from_image and form.kind is Kind.MOVEMENT and node in leads_to_product):
        return "what it reads is float"
    if form.is_exact:
        return None
    if node not in leads_to_product:
        return ONLY_THE_HEAD
    consumers = [user for output in node.outputs for user, _ in output.uses()]
    if not any(isinstance(decisions.get(user), IntegerForm) for user in consumers):
        return "what reads it is float"
    return None


def leading_to_product(decisions: Decisions) -> set[ir.Node]:
    """The integer nodes from which an integer convolution, matrix product or the output head's ArgMax is reached
    through integer nodes alone.
    """
    found: set[ir.Node] = set()
    for node in reversed(decisions):
        for output in node.outputs:
            for user, _ in output.uses():
                form = decisions.get(user)
                if isinstance(form, IntegerForm) and (form.kind in (Kind.PRODUCT, Kind.HEAD) or user in found):
                    found.add(node)
    return found
