"""How much of a model phones' accelerators would take, by onnxruntime's mobile usability checker.

The checker knows which operators each execution provider has, from lists that come with onnxruntime, and counts into
how many partitions the others break the graph: each costs a copy to the accelerator and back. It runs nothing, and does
not check the limits that its lists state beside an operator.
Source: onnxruntime, tools/mobile_helpers/usability_checker.py.
"""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quantseg.errors import ModelError, first_line
from quantseg.runtimes.onnxruntime_package import onnxruntime

_NAMED = 6
FIX = "python -m onnxruntime.tools.make_dynamic_shape_fixed"


@dataclass(frozen=True)
class MobileFit:
    """What one provider would take. name: NNAPI, CoreML (NeuralNetwork) or CoreML (MLProgram).

    taken: nodes in `partitions` of all `nodes` of the graph after basic optimisation, once every size is fixed.
    refused: operators that the provider lacks. open_shapes: nodes that it leaves as long as sizes are open. advice: the
    checker's yes, maybe or no.
    """

    name: str
    partitions: int
    taken: int
    nodes: int
    refused: tuple[str, ...]
    open_shapes: int
    advice: str

    @property
    def sentence(self) -> str:
        """One line: how many partitions and nodes, the advice, and why not all."""
        many = f"{self.partitions} partition{'s' * (self.partitions != 1)}"
        more = len(self.refused) - _NAMED
        lacks = ", ".join(self.refused[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        why = f"; it has no {lacks}" if self.refused else ""
        first = f"; fix the open sizes first ({FIX}), {self.open_shapes} nodes hang on them" if self.open_shapes else ""
        return f"{self.name}: {many}, {self.taken} of {self.nodes} nodes: {self.advice}{why}{first}"

    def to_json(self) -> dict[str, object]:
        """As plain values."""
        return {**vars(self), "refused": list(self.refused)}


def mobile_fits(model: Path | bytes) -> tuple[MobileFit, ...]:
    """What NNAPI and CoreML would take of a model. Raises ModelError where the checker cannot look at it."""
    from onnxruntime.tools.mobile_helpers import usability_checker as checker
    from onnxruntime.tools.onnx_model_utils import ModelProtoWithShapeInfo, optimize_model

    def coreml(kind: str) -> Callable[[Any, bool], Any]:
        return lambda proto, fixed: checker.check_coreml_partitions(proto, fixed, f"coreml_supported_{kind}_ops.md")

    providers = {
        "NNAPI": checker.check_nnapi_partitions,
        "CoreML (NeuralNetwork)": coreml("neuralnetwork"),
        "CoreML (MLProgram)": coreml("mlprogram"),
    }
    logging.getLogger("default").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        given, basic = Path(folder) / "given.onnx", Path(folder) / "basic.onnx"
        if isinstance(model, bytes):
            given.write_bytes(model)
            model = given
        try:
            optimize_model(model, basic, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC, 4, True)
            proto = ModelProtoWithShapeInfo(basic).model_with_shape_info
            return tuple(_fit(name, check(proto, True), check(proto, False)) for name, check in providers.items())
        except Exception as error:  # the checker is a script: it raises whatever its parts raise
            raise ModelError(f"the model: the mobile checker cannot look at it ({first_line(error)})") from error


def _fit(name: str, open_sizes: Any, found: Any) -> MobileFit:
    return MobileFit(
        name=name,
        partitions=found.num_partitions,
        taken=found.num_supported_nodes,
        nodes=found.num_nodes,
        refused=tuple(sorted(one.removeprefix("ai.onnx:") for one in found.unsupported_ops)),
        open_shapes=open_sizes.nodes_unsupported_due_to_dynamic_input,
        advice=found.suitability().name.lower(),
    )
