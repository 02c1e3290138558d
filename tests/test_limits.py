"""Every bound on what strangers bring is written down with its reason, and is read by some module."""

import ast
from pathlib import Path

import quantseg

LIBRARY = Path(quantseg.__file__).parent
BODY = ast.parse((LIBRARY / "files/limits.py").read_text(encoding="utf-8")).body


def names_of(statement: ast.stmt) -> list[str]:
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


NAMES = [name for statement in BODY for name in names_of(statement)]


def test_each_has_its_reason() -> None:
    assert len(NAMES) > 25
    for statement, after in zip(BODY, [*BODY[1:], None], strict=True):
        if names_of(statement):
            assert isinstance(after, ast.Expr)
            assert isinstance(after.value, ast.Constant)


def test_each_is_read() -> None:
    text = "\n".join(path.read_text(encoding="utf-8") for path in LIBRARY.rglob("*.py") if path.name != "limits.py")
    assert [name for name in NAMES if f"limits.{name}" not in text and name != "RUN_SECONDS"] == []


def test_the_module_is_numbers_alone() -> None:
    assert {type(statement) for statement in BODY} <= {ast.Assign, ast.Expr}
