"""Nearest Resize that repeats pixels: by an integer factor s, with output pixel i a copy of input pixel i // s."""

import numpy as np
import onnx_ir as ir


def whole_factors(node: ir.Node) -> tuple[int, int] | None:
    """How many times a nearest Resize repeats each row and each column; None where it does anything else.

    Source: ONNX, Resize: coordinates and rounding of its modes.
    """
    before, after = _sizes(node.inputs[0]), _sizes(node.outputs[0])
    scales = node.inputs[2] if len(node.inputs) > 2 else None
    if before is None or after is None or before[1] != after[1]:
        return None
    if scales is not None and scales.const_value is not None and scales.const_value.shape.numpy() == (4,):
        every = np.asarray(scales.const_value.numpy(), np.float64)
        wanted = every[2:] if every[0] == 1 else np.zeros(2)
    elif before[0] == after[0] and all(isinstance(size, int) for size in (*before[2:], *after[2:])):
        wanted = np.array(after[2:], np.float64) / np.array(before[2:], np.float64)
    else:
        return None
    if (wanted < 1).any() or (wanted != np.round(wanted)).any():
        return None
    rows, columns = (int(factor) for factor in wanted)
    return (rows, columns) if _repeats(node, rows) and _repeats(node, columns) else None


def _repeats(node: ir.Node, factor: int) -> bool:
    """Whether output pixel i is input pixel i // factor; tested for three input pixels, which is enough for all."""
    mode = node.attributes.get_string("coordinate_transformation_mode", "half_pixel")
    rounding = node.attributes.get_string("nearest_mode", "round_prefer_floor")
    pixel = np.arange(3 * factor, dtype=np.float64)
    if mode in ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel"):
        position = (pixel + 0.5) / factor - 0.5
    elif mode == "asymmetric":
        position = pixel / factor
    else:
        return factor == 1
    rounded = {
        "floor": np.floor(position),
        "ceil": np.ceil(position),
        "round_prefer_floor": np.ceil(position - 0.5),
        "round_prefer_ceil": np.floor(position + 0.5),
    }[rounding]
    return bool((np.clip(rounded, 0, 2) == pixel // factor).all())


def _sizes(value: ir.Value | None) -> list[object] | None:
    """The dims (N, C, H, W), numbers or symbolic names; None without four axes."""
    if value is None or value.shape is None or len(value.shape) != 4:
        return None
    return [size if isinstance(size, int) else size.value for size in value.shape]
