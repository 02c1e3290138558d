"""Functions that LiteRT has no operator for, composed of float operators that it has.

    elu(x)       max(x, 0) + α·(exp(min(x, 0)) − 1)
    softplus(x)  max(x, 0) + log(1 + exp(−|x|))
    erf(x)       sign(x)·(1 − (a₁t + … + a₅t⁵)·exp(−x²)),  t = 1/(1 + p·|x|)      within 1.5·10⁻⁷
Source of erf: Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from quantseg.files.tflite.schema import NONE
from quantseg.quantization.formats.litert.editor import Editor
from quantseg.quantization.formats.litert.network import Tensor

_FUSING = frozenset({"ADD", "DIV", "MUL", "SUB"})
_P = 0.3275911
_A = (0.254829592, -0.284496736, 1.421413741, -1.453152027, 1.061405429)


@dataclass(frozen=True)
class Formula:
    """Writes operators whose results have the shape of `result`."""

    editor: Editor
    result: Tensor

    def step(self, kind: str, *operands: Tensor | float, last: bool = False) -> Tensor:
        """One operator; numbers become constants. last: whether it writes the result itself."""
        given = [
            self.editor.constant(np.array(one, np.float32)) if isinstance(one, (int, float)) else one
            for one in operands
        ]
        made = self.result if last else self.editor.like(self.result, f"{self.result.name}_part")
        options = {"fused_activation_function": NONE} if kind in _FUSING else {}
        return self.editor.insert(kind, given, made, options)


def composed(formula: Callable[[Formula, Tensor, ir.Node], None]) -> Callable[[Editor, ir.Node], None]:
    """The writer of an elementwise function by its formula."""

    def write(editor: Editor, node: ir.Node) -> None:
        source = editor.at_hand(node.inputs[0], integer=False)
        result = editor.result(node.outputs[0], source.order, integer=False)
        formula(Formula(editor, result), source.tensor, node)

    return write


def elu(of: Formula, x: Tensor, node: ir.Node) -> None:
    """Elu of any α."""
    below = of.step("SUB", of.step("EXP", of.step("MINIMUM", x, 0.0)), 1.0)
    alpha = node.attributes.get_float("alpha", 1.0)
    bent = below if alpha == 1.0 else of.step("MUL", below, alpha)
    of.step("ADD", of.step("MAXIMUM", x, 0.0), bent, last=True)


def softplus(of: Formula, x: Tensor, node: ir.Node) -> None:
    """Softplus, without overflow."""
    small = of.step("LOG", of.step("ADD", of.step("EXP", of.step("NEG", of.step("ABS", x))), 1.0))
    of.step("ADD", of.step("MAXIMUM", x, 0.0), small, last=True)


def erf(of: Formula, x: Tensor, node: ir.Node) -> None:
    """Erf; the sign is that of x / (|x| + a tiny number)."""
    far = of.step("ABS", x)
    t = of.step("DIV", 1.0, of.step("ADD", of.step("MUL", far, _P), 1.0))
    total = of.step("MUL", t, _A[-1])
    for coefficient in _A[-2::-1]:
        total = of.step("MUL", of.step("ADD", total, coefficient), t)
    bell = of.step("EXP", of.step("NEG", of.step("MUL", x, x)))
    size = of.step("SUB", 1.0, of.step("MUL", total, bell))
    sign = of.step("DIV", x, of.step("ADD", far, float(np.finfo(np.float32).tiny)))
    of.step("MUL", sign, size, last=True)
