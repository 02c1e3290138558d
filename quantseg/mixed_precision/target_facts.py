"""What each target of `quantize` is: the runtime that times it, the formats that it reads, what it does to the graph.

A new target is a row of TARGETS.
"""

from dataclasses import dataclass

from quantseg.graph.preparation import Fusing

PORTABLE, ORT_CPU, OPENVINO, ORT_WEB = "portable", "ort-cpu", "openvino", "ort-web"


@dataclass(frozen=True)
class Target:
    """One target.

    formats: the output formats that are tried, the default first. runtime: the key in RUNTIMES of the runtime in which
    parts and whole models are timed; None: nothing is timed, rules place the nodes. fusing: activations that the
    target's runtime fuses; None: no special handling. without: rewrites of LOWERINGS that do not pay there. has_table:
    whether a table of measured kernels stands in for the runtime where that is not installed. never_slower: whether
    every node stays float where nothing else is faster.
    """

    formats: tuple[str, ...] = ("qdq",)
    runtime: str | None = None
    fusing: Fusing | None = None
    without: frozenset[str] = frozenset()
    has_table: bool = False
    never_slower: bool = False


FUSED_BY_OPENVINO = Fusing(
    activations=frozenset({"HardSwish", "HardSigmoid", "PRelu"}),
    without=frozenset({"lower_hard_swishes", "lower_hard_sigmoids", "lower_prelus"}),
    opset=14,  # the first with HardSwish
)
"""Activations that OpenVINO fuses, and that are otherwise rewritten into integer operators for onnxruntime."""

SLOW_IN_WEBASSEMBLY = frozenset({"lower_conv_transposes", "lower_hard_sigmoids", "lower_hard_swishes", "lower_prelus"})
"""Rewrites of activations into several integer operators, each of which takes longer there than the activation; and of
transposed convolutions of few products, whose pixel shuffle takes longer than integers save."""

TARGETS = {
    PORTABLE: Target(),
    ORT_CPU: Target(formats=("channels-last", "qdq"), runtime="onnxruntime"),
    OPENVINO: Target(fusing=FUSED_BY_OPENVINO),
    ORT_WEB: Target(
        formats=("web", "qdq"),
        runtime="onnxruntime-web",
        without=SLOW_IN_WEBASSEMBLY,
        has_table=True,
        never_slower=True,
    ),
}
"""Name → target."""


def names() -> str:
    """The names, as a message lists them."""
    *first, last = TARGETS
    return f"{', '.join(first)} or {last}"
