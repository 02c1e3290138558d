"""The ORT format: a model with its graph optimisations done, which smaller builds of onnxruntime for phones load.

Written as onnxruntime's converter (tools/convert_onnx_models_to_ort) does with optimisation style Fixed, no platform:
all optimisations but NchwcTransformer, which lays tensors out for one processor. It prints, and writes a second file.
"""

import tempfile
from pathlib import Path

from quantseg.runtimes.onnxruntime_cpu import OnnxRuntimeSession
from quantseg.runtimes.onnxruntime_package import onnxruntime

_OF_ONE_PROCESSOR = ("NchwcTransformer",)
_FATAL = 4


def to_ort(model: bytes) -> bytes:
    """The model as an .ort file. Raises ModelError where onnxruntime cannot open it."""
    with tempfile.TemporaryDirectory(prefix="quantseg-") as folder:
        target = Path(folder) / "model.ort"
        options = onnxruntime.SessionOptions()
        options.optimized_model_filepath = str(target)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = _FATAL
        options.add_session_config_entry("session.qdqisint8allowed", "0")
        options.add_session_config_entry("session.save_model_format", "ORT")
        OnnxRuntimeSession(model, options, without=_OF_ONE_PROCESSOR).close()
        return target.read_bytes()
