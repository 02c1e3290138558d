"""The part of LiteRT's file format (.tflite) that is written and read here: tables, their fields, and operators.

Source: schema.fbs of LiteRT, as compiled into the package ai-edge-litert; tests compare with that.
"""

from collections.abc import Mapping
from dataclasses import dataclass

IDENTIFIER = b"TFL3"


@dataclass(frozen=True)
class Field:
    """A field of a table. slot: its place in the vtable. kind: a scalar's numpy name, "string", "options", a table.

    A vector's kind is its element's in brackets. default: of a scalar, which is not written.
    """

    name: str
    slot: int
    kind: str
    default: float = 0


def _fields(*rows: tuple[str, int, str] | tuple[str, int, str, float]) -> tuple[Field, ...]:
    return tuple(Field(*row) for row in rows)


_ACTIVATION = ("fused_activation_function", "int8")

_EMPTY = (
    *("AbsOptions", "BroadcastToOptions", "DequantizeOptions", "EqualOptions", "ExpOptions", "GreaterEqualOptions"),
    *("GreaterOptions", "HardSwishOptions", "LessOptions", "MaximumMinimumOptions", "NegOptions", "PadOptions"),
    *("PadV2Options", "PowOptions", "QuantizeOptions", "ReshapeOptions", "SelectV2Options", "SliceOptions"),
    *("TileOptions", "TransposeOptions"),
)
"""Tables of options without fields."""

TABLES: Mapping[str, tuple[Field, ...]] = {
    "Model": _fields(
        ("version", 0, "uint32"),
        ("operator_codes", 1, "[OperatorCode]"),
        ("subgraphs", 2, "[SubGraph]"),
        ("description", 3, "string"),
        ("buffers", 4, "[Buffer]"),
        ("metadata", 6, "[Metadata]"),
        ("signature_defs", 7, "[SignatureDef]"),
    ),
    "OperatorCode": _fields(
        ("deprecated_builtin_code", 0, "int8"),
        ("custom_code", 1, "string"),
        ("version", 2, "int32", 1),
        ("builtin_code", 3, "int32"),
    ),
    "SubGraph": _fields(
        ("tensors", 0, "[Tensor]"),
        ("inputs", 1, "[int32]"),
        ("outputs", 2, "[int32]"),
        ("operators", 3, "[Operator]"),
        ("name", 4, "string"),
    ),
    "Tensor": _fields(
        ("shape", 0, "[int32]"),
        ("type", 1, "int8"),
        ("buffer", 2, "uint32"),
        ("name", 3, "string"),
        ("quantization", 4, "QuantizationParameters"),
        ("has_rank", 8, "bool"),
    ),
    "QuantizationParameters": _fields(
        ("scale", 2, "[float32]"), ("zero_point", 3, "[int64]"), ("quantized_dimension", 6, "int32")
    ),
    "Operator": _fields(
        ("opcode_index", 0, "uint32"),
        ("inputs", 1, "[int32]"),
        ("outputs", 2, "[int32]"),
        ("builtin_options_type", 3, "uint8"),
        ("builtin_options", 4, "options"),
    ),
    "Buffer": _fields(("data", 0, "[uint8]")),
    "Metadata": _fields(("name", 0, "string"), ("buffer", 1, "uint32")),
    "SignatureDef": _fields(
        ("inputs", 0, "[TensorMap]"),
        ("outputs", 1, "[TensorMap]"),
        ("signature_key", 2, "string"),
        ("subgraph_index", 4, "uint32"),
    ),
    "TensorMap": _fields(("name", 0, "string"), ("tensor_index", 1, "uint32")),
    "Conv2DOptions": _fields(
        ("padding", 0, "int8"),
        ("stride_w", 1, "int32"),
        ("stride_h", 2, "int32"),
        (_ACTIVATION[0], 3, _ACTIVATION[1]),
        ("dilation_w_factor", 4, "int32", 1),
        ("dilation_h_factor", 5, "int32", 1),
    ),
    "DepthwiseConv2DOptions": _fields(
        ("padding", 0, "int8"),
        ("stride_w", 1, "int32"),
        ("stride_h", 2, "int32"),
        ("depth_multiplier", 3, "int32"),
        (_ACTIVATION[0], 4, _ACTIVATION[1]),
        ("dilation_w_factor", 5, "int32", 1),
        ("dilation_h_factor", 6, "int32", 1),
    ),
    "TransposeConvOptions": _fields(
        ("padding", 0, "int8"), ("stride_w", 1, "int32"), ("stride_h", 2, "int32"), (_ACTIVATION[0], 3, _ACTIVATION[1])
    ),
    "Pool2DOptions": _fields(
        ("padding", 0, "int8"),
        ("stride_w", 1, "int32"),
        ("stride_h", 2, "int32"),
        ("filter_width", 3, "int32"),
        ("filter_height", 4, "int32"),
        (_ACTIVATION[0], 5, _ACTIVATION[1]),
    ),
    "ResizeBilinearOptions": _fields(("align_corners", 2, "bool"), ("half_pixel_centers", 3, "bool")),
    "ResizeNearestNeighborOptions": _fields(("align_corners", 0, "bool"), ("half_pixel_centers", 1, "bool")),
    "ConcatenationOptions": _fields(("axis", 0, "int32"), (_ACTIVATION[0], 1, _ACTIVATION[1])),
    "AddOptions": _fields((_ACTIVATION[0], 0, _ACTIVATION[1])),
    "MulOptions": _fields((_ACTIVATION[0], 0, _ACTIVATION[1])),
    "SubOptions": _fields((_ACTIVATION[0], 0, _ACTIVATION[1])),
    "DivOptions": _fields((_ACTIVATION[0], 0, _ACTIVATION[1])),
    "SoftmaxOptions": _fields(("beta", 0, "float32")),
    "FullyConnectedOptions": _fields((_ACTIVATION[0], 0, _ACTIVATION[1]), ("keep_num_dims", 2, "bool")),
    "BatchMatMulOptions": _fields(("adj_x", 0, "bool"), ("adj_y", 1, "bool")),
    "ReducerOptions": _fields(("keep_dims", 0, "bool")),
    "ArgMaxOptions": _fields(("output_type", 0, "int8")),
    "SplitOptions": _fields(("num_splits", 0, "int32")),
    "SplitVOptions": _fields(("num_splits", 0, "int32")),
    "LeakyReluOptions": _fields(("alpha", 0, "float32")),
    "DepthToSpaceOptions": _fields(("block_size", 0, "int32")),
    "SpaceToDepthOptions": _fields(("block_size", 0, "int32")),
    "StridedSliceOptions": _fields(
        ("begin_mask", 0, "int32"), ("end_mask", 1, "int32"), ("shrink_axis_mask", 4, "int32")
    ),
    "GatherOptions": _fields(("axis", 0, "int32"), ("batch_dims", 1, "int32")),
    "CastOptions": _fields(("in_data_type", 0, "int8"), ("out_data_type", 1, "int8")),
    "MirrorPadOptions": _fields(("mode", 0, "int8")),
    "GeluOptions": _fields(("approximate", 0, "bool")),
} | dict.fromkeys(_EMPTY, ())

OPTIONS: Mapping[str, int] = {
    "Conv2DOptions": 1,
    "DepthwiseConv2DOptions": 2,
    "Pool2DOptions": 5,
    "FullyConnectedOptions": 8,
    "SoftmaxOptions": 9,
    "ConcatenationOptions": 10,
    "AddOptions": 11,
    "ResizeBilinearOptions": 15,
    "ReshapeOptions": 17,
    "SpaceToDepthOptions": 19,
    "MulOptions": 21,
    "PadOptions": 22,
    "GatherOptions": 23,
    "TransposeOptions": 26,
    "ReducerOptions": 27,
    "SubOptions": 28,
    "DivOptions": 29,
    "StridedSliceOptions": 32,
    "ExpOptions": 33,
    "SplitOptions": 35,
    "CastOptions": 37,
    "DequantizeOptions": 38,
    "MaximumMinimumOptions": 39,
    "ArgMaxOptions": 40,
    "LessOptions": 41,
    "NegOptions": 42,
    "PadV2Options": 43,
    "GreaterOptions": 44,
    "GreaterEqualOptions": 45,
    "SliceOptions": 48,
    "TransposeConvOptions": 49,
    "TileOptions": 51,
    "EqualOptions": 53,
    "PowOptions": 56,
    "ResizeNearestNeighborOptions": 74,
    "LeakyReluOptions": 75,
    "MirrorPadOptions": 77,
    "AbsOptions": 78,
    "SplitVOptions": 79,
    "QuantizeOptions": 89,
    "HardSwishOptions": 91,
    "DepthToSpaceOptions": 94,
    "SelectV2Options": 98,
    "BatchMatMulOptions": 101,
    "BroadcastToOptions": 104,
    "GeluOptions": 116,
}
"""Table of options → its number in the union BuiltinOptions."""

TYPES: Mapping[str, int] = {"float32": 0, "int32": 2, "uint8": 3, "int64": 4, "bool": 6, "int16": 7, "int8": 9}
"""Element type, by its numpy name → its number in the enumeration TensorType."""

SAME, VALID = 0, 1
"""Padding. SAME: as many windows as strides begin in the image, with the larger half of the padding at the end."""
NONE, RELU, RELU_N1_TO_1, RELU6 = 0, 1, 2, 3
"""Activations that an operator may apply to its result."""
REFLECT = 0
"""Mode of MIRROR_PAD without the border itself."""
