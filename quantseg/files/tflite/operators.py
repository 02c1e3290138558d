"""The operators of LiteRT that are written and read here. Source: schema.fbs of LiteRT, and its table of versions."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class OperatorRow:
    """code: in the enumeration BuiltinOperator. options: its table, or None. version, int8: on float and on int8.

    fused: the first version with an activation fused, where that is a later one.
    """

    code: int
    options: str | None = None
    version: int = 1
    int8: int = 2
    fused: int = 1


OPERATORS: Mapping[str, OperatorRow] = {
    "ADD": OperatorRow(0, "AddOptions"),
    "AVERAGE_POOL_2D": OperatorRow(1, "Pool2DOptions"),
    "CONCATENATION": OperatorRow(2, "ConcatenationOptions"),
    "CONV_2D": OperatorRow(3, "Conv2DOptions", int8=3),
    "DEPTHWISE_CONV_2D": OperatorRow(4, "DepthwiseConv2DOptions", version=2, int8=3),
    "DEPTH_TO_SPACE": OperatorRow(5, "DepthToSpaceOptions", int8=1),
    "DEQUANTIZE": OperatorRow(6, "DequantizeOptions"),
    "FLOOR": OperatorRow(8),
    "FULLY_CONNECTED": OperatorRow(9, "FullyConnectedOptions", version=5, int8=5),
    "LOGISTIC": OperatorRow(14),
    "MAX_POOL_2D": OperatorRow(17, "Pool2DOptions"),
    "MUL": OperatorRow(18, "MulOptions"),
    "RELU": OperatorRow(19),
    "RELU_N1_TO_1": OperatorRow(20, int8=1),
    "RELU6": OperatorRow(21),
    "RESHAPE": OperatorRow(22, "ReshapeOptions", int8=1),
    "RESIZE_BILINEAR": OperatorRow(23, "ResizeBilinearOptions", version=3, int8=3),
    "SOFTMAX": OperatorRow(25, "SoftmaxOptions"),
    "SPACE_TO_DEPTH": OperatorRow(26, "SpaceToDepthOptions"),
    "TANH": OperatorRow(28),
    "PAD": OperatorRow(34, "PadOptions"),
    "GATHER": OperatorRow(36, "GatherOptions"),
    "TRANSPOSE": OperatorRow(39, "TransposeOptions"),
    "MEAN": OperatorRow(40, "ReducerOptions"),
    "SUB": OperatorRow(41, "SubOptions"),
    "DIV": OperatorRow(42, "DivOptions"),
    "STRIDED_SLICE": OperatorRow(45, "StridedSliceOptions"),
    "EXP": OperatorRow(47, "ExpOptions"),
    "SPLIT": OperatorRow(49, "SplitOptions"),
    "CAST": OperatorRow(53, "CastOptions", int8=1),
    "PRELU": OperatorRow(54, int8=1),
    "MAXIMUM": OperatorRow(55, "MaximumMinimumOptions"),
    "ARG_MAX": OperatorRow(56, "ArgMaxOptions"),
    "MINIMUM": OperatorRow(57, "MaximumMinimumOptions"),
    "LESS": OperatorRow(58, "LessOptions"),
    "NEG": OperatorRow(59, "NegOptions"),
    "PADV2": OperatorRow(60, "PadV2Options"),
    "GREATER": OperatorRow(61, "GreaterOptions"),
    "GREATER_EQUAL": OperatorRow(62, "GreaterEqualOptions"),
    "SLICE": OperatorRow(65, "SliceOptions"),
    "TRANSPOSE_CONV": OperatorRow(67, "TransposeConvOptions", version=3, int8=3, fused=4),
    "TILE": OperatorRow(69, "TileOptions"),
    "EQUAL": OperatorRow(71, "EqualOptions"),
    "LOG": OperatorRow(73),
    "SUM": OperatorRow(74, "ReducerOptions"),
    "SQRT": OperatorRow(75),
    "RSQRT": OperatorRow(76),
    "POW": OperatorRow(78, "PowOptions"),
    "REDUCE_MAX": OperatorRow(82, "ReducerOptions"),
    "REDUCE_MIN": OperatorRow(89, "ReducerOptions"),
    "RESIZE_NEAREST_NEIGHBOR": OperatorRow(97, "ResizeNearestNeighborOptions", version=3, int8=3),
    "LEAKY_RELU": OperatorRow(98, "LeakyReluOptions"),
    "MIRROR_PAD": OperatorRow(100, "MirrorPadOptions"),
    "ABS": OperatorRow(101, "AbsOptions"),
    "SPLIT_V": OperatorRow(102, "SplitVOptions"),
    "ELU": OperatorRow(111),
    "QUANTIZE": OperatorRow(114, "QuantizeOptions", int8=2),
    "HARD_SWISH": OperatorRow(117, "HardSwishOptions", int8=1),
    "SELECT_V2": OperatorRow(123, "SelectV2Options", int8=1),
    "BATCH_MATMUL": OperatorRow(126, "BatchMatMulOptions"),
    "BROADCAST_TO": OperatorRow(130, "BroadcastToOptions", version=2, int8=2),
    "GELU": OperatorRow(150, "GeluOptions"),
}
"""Operator → its row. Versions are those from which LiteRT has the form that is written here."""
