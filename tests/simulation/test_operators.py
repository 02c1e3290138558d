"""Every operator of a segmentation network, in every spelling and format: integers equal onnxruntime's, bit for bit."""

from contextlib import closing

import onnx_ir as ir
import pytest

from quantseg.quantization.formats import FORMATS
from quantseg.quantization.qtypes import INT8
from quantseg.runtimes import RUNTIMES
from quantseg.simulation.judging import Judgement, as_users_run_it, compared, given_floats
from quantseg.simulation.others import InRuntime
from quantseg.simulation.program import program
from quantseg.simulation.running import run
from tests.quantization.test_operators_int8 import FEEDS, INTEGERS, made, model
from tests.support import operators, quantised
from tests.support.operator_rows import ROWS


def judged(model: ir.Model, rounding: str = "onnxruntime") -> Judgement:
    """The simulator beside onnxruntime on the first feeds."""
    steps = program(model)
    judgement, mine = Judgement(), {}
    with closing(InRuntime(model, steps, RUNTIMES["onnxruntime"], threads=1)) as other:
        theirs = other.tensors("", FEEDS[0])
        given = given_floats(steps, theirs)
        for taken in run(steps, FEEDS[0], rounding=rounding, processor=operators.this_processor(), given=given):
            judgement += compared(taken, theirs, image="")
            mine |= {name: given.get(name, found) for name, found in taken.named if name in steps.outputs}
        return judgement + as_users_run_it(steps, mine, other.outputs(FEEDS[0]), image="")


@pytest.mark.slow
@pytest.mark.parametrize("qformat", FORMATS)
@pytest.mark.parametrize("name", ROWS)
def test_integers_are_the_runtimes_bit_for_bit(name: str, qformat: str) -> None:
    judgement = judged(made(name, qformat).model)
    assert [found for found in judgement.differences.values() if found.integer] == []
    assert len(judgement.integers) >= 3


@pytest.mark.parametrize("name", INTEGERS)
def test_signed_integers_are_the_runtimes_bit_for_bit(name: str) -> None:
    judgement = judged(quantised.make(model(name), FEEDS, qformat="qoperator", activation=INT8).model)
    assert [found for found in judgement.differences.values() if found.integer] == []
