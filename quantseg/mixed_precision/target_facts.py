"""What each target of `quantize` is: the runtime that times it, the formats that it reads, what it does to the graph.

A new target is a row of TARGETS.
"""

from dataclasses import dataclass, replace

from quantseg.graph.preparation import Fusing
from quantseg.quantization.writing import TFLITE

PORTABLE, ORT_CPU, ORT_WEB, OPENVINO, LITERT = "portable", "ort-cpu", "ort-web", "openvino", "litert"


@dataclass(frozen=True)
class Target:
    """One target.

    formats: the output formats that are tried, the default first. runtime: the key in RUNTIMES of the runtime in which
    parts and whole models are timed; None: nothing is timed, rules place the nodes. fusing: what the target's runtime
    fuses or has kernels for; None: nothing more than onnxruntime. without: rewrites of LOWERINGS that do not pay there.
    needs: those that it cannot do without, since it has no kernel for what they rewrite. has_table:
    whether a table of measured kernels stands in for the runtime where that is not installed. never_slower: whether
    every node stays float where nothing else is faster.
    """

    formats: tuple[str, ...] = ("qdq",)
    runtime: str | None = None
    fusing: Fusing | None = None
    without: frozenset[str] = frozenset()
    needs: frozenset[str] = frozenset()
    has_table: bool = False
    never_slower: bool = False


FUSED_BY_OPENVINO = Fusing(
    activations=frozenset({"HardSwish", "HardSigmoid", "PRelu"}),
    without=frozenset({"lower_hard_swishes", "lower_hard_sigmoids", "lower_prelus"}),
    opset=14,  # the first with HardSwish
)
"""Activations that OpenVINO fuses, and that are otherwise rewritten into integer operators for onnxruntime."""

KERNELS_OF_LITERT = Fusing(
    activations=None,
    without=frozenset({"lower_conv_transposes", "lower_tanhs"}),
    opset=14,  # the first with HardSwish
    kernels="litert",
)
"""Operators that LiteRT has fast integer kernels for, which are rewritten for onnxruntime.

Its HARD_SWISH and PRELU in integers are not XNNPACK's: `mobile` takes 50 ms with them and 12 ms as rewritten.
"""
FLOAT_OF_LITERT = replace(KERNELS_OF_LITERT, without=KERNELS_OF_LITERT.without | {"lower_hard_swishes", "lower_prelus"})
"""For a float network, whose HARD_SWISH and PRELU are XNNPACK's."""

SLOW_IN_WEBASSEMBLY = frozenset({"lower_conv_transposes", "lower_hard_sigmoids", "lower_hard_swishes", "lower_prelus"})
"""Rewrites of activations into several integer operators, each of which takes longer there than the activation; and of
transposed convolutions of few products, whose pixel shuffle takes longer than integers save."""

TARGETS = {
    PORTABLE: Target(),
    ORT_CPU: Target(formats=("channels-last", "qdq"), runtime="onnxruntime"),
    ORT_WEB: Target(
        formats=("web", "qdq"),
        runtime="onnxruntime-web",
        without=SLOW_IN_WEBASSEMBLY,
        has_table=True,
        never_slower=True,
    ),
    OPENVINO: Target(fusing=FUSED_BY_OPENVINO),
    LITERT: Target(formats=(TFLITE,), fusing=KERNELS_OF_LITERT, needs=frozenset({"lower_unpooling"})),
}
"""Name → target."""


def names() -> str:
    """The names, as a message lists them."""
    *first, last = TARGETS
    return f"{', '.join(first)} or {last}"
