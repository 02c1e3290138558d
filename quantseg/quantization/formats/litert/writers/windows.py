"""Windows of convolutions and pools: ONNX's padding as LiteRT's SAME or VALID, else as a PAD before the operator."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import SAME, VALID
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.network import Tensor
from quantseg.quantization.formats.litert.writers.attributes import ints, refused

LOWEST = float(np.finfo(np.float32).min)


@dataclass(frozen=True)
class WindowAxis:
    """One spatial axis. size: pixels of the input, given: of the output. window, stride, dilation, before: in pixels.

    The padding after the image is what the last window needs.
    """

    size: int
    given: int
    window: int
    stride: int
    dilation: int
    before: int

    @property
    def _needed(self) -> int:
        return (self.given - 1) * self.stride + (self.window - 1) * self.dilation + 1 - self.size

    @property
    def after(self) -> int:
        """Pixels of padding at the end."""
        return max(0, self._needed - self.before)

    @property
    def is_valid(self) -> bool:
        """Whether nothing is padded."""
        return self.before == 0 and self.after == 0

    @property
    def is_same(self) -> bool:
        """Whether LiteRT's SAME pads alike."""
        total = max(0, self._needed)
        fits = self.given == -(-self.size // self.stride)
        return fits and (self.before, self.after) == (total // 2, total - total // 2)


@dataclass(frozen=True)
class Window:
    """The window of a node over an image."""

    rows: WindowAxis
    columns: WindowAxis

    @staticmethod
    def of(editor: Editor, node: ir.Node, window: Sequence[int]) -> "Window":
        """The window of a Conv or pool. Raises ModelError for other than two spatial axes."""
        before, after = editor.shape(node.inputs[0]), editor.shape(node.outputs[0])
        if len(before) != 4 or len(window) != 2:
            raise refused(node, f"has {len(before) - 2} spatial axes, LiteRT's has two", "make the images flat")
        strides, dilations = ints(node, "strides", (1, 1)), ints(node, "dilations", (1, 1))
        auto = node.attributes.get_string("auto_pad", "NOTSET")
        pads = ints(node, "pads", (0, 0, 0, 0)) if auto == "NOTSET" else (0, 0, 0, 0)
        if min(pads) < 0:
            raise refused(node, "has negative padding")
        axes = []
        for axis in range(2):
            one = WindowAxis(
                before[axis + 2], after[axis + 2], window[axis], strides[axis], dilations[axis], pads[axis]
            )
            if auto.startswith("SAME"):
                total = one.after
                begin = total // 2 if auto == "SAME_UPPER" else total - total // 2
                one = WindowAxis(one.size, one.given, one.window, one.stride, one.dilation, begin)
            axes.append(one)
        return Window(*axes)

    @property
    def is_padded(self) -> bool:
        """Whether a window reaches beyond the image."""
        return not (self.rows.is_valid and self.columns.is_valid)

    @property
    def padding(self) -> int | None:
        """SAME or VALID; None where neither pads alike."""
        if not self.is_padded:
            return VALID
        return SAME if self.rows.is_same and self.columns.is_same else None

    def options(self, padding: int) -> dict[str, Any]:
        """Padding and strides as options of an operator."""
        return {"padding": padding, "stride_w": self.columns.stride, "stride_h": self.rows.stride}

    @property
    def dilations(self) -> dict[str, int]:
        """Dilations as options of a convolution."""
        return {"dilation_w_factor": self.columns.dilation, "dilation_h_factor": self.rows.dilation}

    def padded(self, editor: Editor, source: Tensor, lowest: bool = False) -> tuple[Tensor, int]:
        """The tensor to read, and SAME or VALID for it: where neither pads alike, the tensor is padded before.

        lowest: whether padding never wins a maximum, else it is zero.
        """
        if self.padding is not None:
            return source, self.padding
        widths = [(0, 0), (self.rows.before, self.rows.after), (self.columns.before, self.columns.after), (0, 0)]
        return pad(editor, source, widths, _lowest(source) if lowest else None), VALID


def pad(editor: Editor, source: Tensor, widths: Sequence[tuple[int, int]], value: float | None = None) -> Tensor:
    """The tensor with elements added before and after each axis. value: None for zero, as the tensor stores it."""
    shape = tuple(size + sum(width) for size, width in zip(source.shape, widths, strict=True))
    result = editor.like(source, f"{source.name}_padded", shape=shape)
    amounts = editor.constant(np.array(widths, np.int32))
    if value is None:
        return editor.insert("PAD", [source, amounts], result)
    return editor.insert(
        "PADV2", [source, amounts, editor.constant(np.asarray(value, source.dtype), source.params)], result
    )


def _lowest(source: Tensor) -> float | None:
    """The lowest number that a tensor holds; None where that is its zero."""
    if source.params is None:
        return LOWEST
    lowest = source.params.qtype.qmin
    return None if int(source.params.zero_point) == lowest else lowest
