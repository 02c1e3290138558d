"""Executes one step; its errors name the node."""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from quantseg.errors import ModelError, QuantSegError
from quantseg.simulation.arithmetic import OPERATORS, Call
from quantseg.simulation.step import Step

Array = NDArray[Any]


@cache
def _libraries() -> ThreadpoolController:
    return ThreadpoolController()


def _one_thread_each() -> AbstractContextManager[Any]:
    """Limits BLAS to one thread: the simulator has its own threads, and BLAS's would busy-wait beside them."""
    controller: AbstractContextManager[Any] = _libraries().limit(limits=1, user_api="blas")
    return controller


def computed(step: Step, call: Call) -> tuple[Array, ...]:
    """The step's outputs. Raises ModelError that names the step where the inputs do not fit."""
    try:
        with np.errstate(over="ignore"), _one_thread_each():
            return OPERATORS[step.op_type](call)
    except QuantSegError as error:
        raise type(error)(f"node {step.name!r} ({step.op_type}): {error}") from error
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        shapes = " and ".join(str(list(operand.shape)) for operand in call.inputs if operand is not None)
        fact = str(error) or type(error).__name__
        raise ModelError(
            f"node {step.name!r} ({step.op_type}) cannot be computed on inputs {shapes}: {fact}"
        ) from error
