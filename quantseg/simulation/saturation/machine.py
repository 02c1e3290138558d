"""Which processor's kernels onnxruntime uses here: found by running a small model, as it depends on CPU and build.

Two products with pair sums beyond int16, and QLinearAdd of all pairs of 8-bit integers, tell the PROCESSORS apart.
"""

from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import parser

from quantseg.errors import ModelError
from quantseg.runtimes import Runtime
from quantseg.simulation.arithmetic import OPERATORS, Call
from quantseg.simulation.arithmetic.processors import PROCESSORS, SimulatedProcessor

Array = NDArray[Any]

_MODEL = """<ir_version: 8, opset_import: ["": 17, "com.microsoft": 1]>
probe (uint8[1,256] a, int8[256,2] w, uint8[65536] p, uint8[65536] q,
       float s_p, uint8 z_p, float s_q, uint8 z_q, float s_y, uint8 z_y) => (int32[1,2] sums, uint8[65536] added) {
  sums = MatMulInteger(a, w)
  added = com.microsoft.QLinearAdd(p, s_p, z_p, q, s_q, z_q, s_y, z_y)
}"""


def _feeds() -> dict[str, Array]:
    """Inputs whose scales and zero-points make the ADDERS differ from each other in some hundreds of sums."""
    both = np.arange(256, dtype=np.uint8)
    p, q = (np.ascontiguousarray(each).reshape(-1) for each in np.meshgrid(both, both, indexing="ij"))
    grids = {"s_p": 0.32, "z_p": 246, "s_q": 0.12, "z_q": 11, "s_y": 0.56, "z_y": 205}
    single = {k: np.asarray(v, np.float32 if k.startswith("s") else np.uint8) for k, v in grids.items()}
    weight = np.stack([np.full(256, 127, np.int8), np.full(256, -128, np.int8)], axis=1)
    return {"a": np.full((1, 256), 255, np.uint8), "w": weight, "p": p, "q": q, **single}


def saturates(runtime: Runtime) -> bool:
    """Whether the runtime's pair sums saturate on this machine. Raises ModelError."""
    feeds = _feeds()
    exact = feeds["a"].astype(np.int64) @ feeds["w"].astype(np.int64)
    return not np.array_equal(_found(runtime, feeds)[0], exact)


def _found(runtime: Runtime, feeds: dict[str, Array]) -> list[Array]:
    """The runtime's outputs: MatMulInteger sums, and QLinearAdd results."""
    with closing(runtime.open(parser.parse_model(_MODEL).SerializeToString(), threads=1, spinning=False)) as session:
        return session.run(feeds)


def this_processor(runtime: Runtime) -> SimulatedProcessor:
    """The processor whose kernels the runtime uses here. Raises ModelError where results match none of PROCESSORS."""
    feeds = _feeds()
    found = _found(runtime, feeds)
    product = Call((feeds["a"], feeds["w"]), {})
    addition = Call(tuple(feeds[name] for name in ("p", "s_p", "z_p", "q", "s_q", "z_q", "s_y", "z_y")), {})
    for processor in PROCESSORS.values():
        made = (
            OPERATORS[op_type](replace(call, processor=processor))[0]
            for op_type, call in (("MatMulInteger", product), ("QLinearAdd", addition))
        )
        if all(np.array_equal(one, other) for one, other in zip(made, found, strict=True)):
            return processor
    raise ModelError(f"{runtime.name} computes as on no processor that is known here; say processor=NAME")
