"""onnx's own tests of single nodes: none fails among those that the simulator claims."""

from collections import Counter

import pytest

from tests.support import node_tests
from tests.support.node_tests import FAILED, OPERATORS, OUT_OF_SCOPE, PASSED, Verdict


@pytest.fixture(scope="module")
def verdicts() -> tuple[Verdict, ...]:
    return tuple(map(node_tests.verdict, node_tests.cases()))


@pytest.mark.parametrize("operator", OPERATORS)
def test_no_node_test_fails_and_some_pass(operator: str, verdicts: tuple[Verdict, ...]) -> None:
    mine = [verdict for verdict in verdicts if verdict.operator == operator]
    assert [(v.name, v.reason) for v in mine if v.outcome == FAILED] == []
    assert any(verdict.outcome == PASSED for verdict in mine)


def test_out_of_scope_are_only_numbers_that_are_no_integers(verdicts: tuple[Verdict, ...]) -> None:
    assert {v.reason for v in verdicts if v.outcome == OUT_OF_SCOPE} <= {"floats of 8 or 4 bits"}
    assert Counter(v.outcome for v in verdicts)[PASSED] > 100
