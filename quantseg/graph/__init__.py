"""An ONNX graph in memory (onnx-ir): read and checked, described, edited, written atomically."""

from quantseg.graph.exposing import expose
from quantseg.graph.names import make_unique
from quantseg.graph.reading import digest, load
from quantseg.graph.signature import TensorSpec, is_quantised, signature, stated_shapes
from quantseg.graph.weightless import check, infer_shapes
from quantseg.graph.writing import as_session_source, save, to_bytes

__all__ = [
    "TensorSpec",
    "as_session_source",
    "check",
    "digest",
    "expose",
    "infer_shapes",
    "is_quantised",
    "load",
    "make_unique",
    "save",
    "signature",
    "stated_shapes",
    "to_bytes",
]
