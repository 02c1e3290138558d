"""The shape of the code: goals that were reached are laws, and what they count is counted right on small sources."""

from pathlib import Path

import pytest

from tests.bench import source_counts as source
from tests.bench.house import NUMBERS

ROOT = Path(__file__).parents[1]
APART = {"bench", "docs", "fuzz", "processors", "reference_models", "support"}
"""Folders of tests/ that are no room of quantseg/."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    ["entries", "plan", "values", "parameters", "command", "pairs", "classes", "example-lines", "example-imports"],
)
def test_goals_that_were_reached_are_held(name: str) -> None:
    number, found = NUMBERS[name].count(ROOT)
    assert number <= NUMBERS[name].goal, found


def test_tests_lie_in_the_rooms_of_the_package() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")}
    rooms = [folder for folder in folders if not folder.parts or folder.parts[0] not in APART]
    assert len(rooms) > 11
    assert [room for room in rooms if not (ROOT / "quantseg" / room).is_dir()] == []


MADE_UP = {
    "README.md": """
```
quantseg quantize
```
```python
mask = 1
```
```python
import a

qs.quantize("m")
```
""",
    "quantseg/__init__.py": "",
    "quantseg/api.py": """
from typing import TYPE_CHECKING

from quantseg import graph
from quantseg.quantization.plan import plan as decide

if TYPE_CHECKING:
    from quantseg.cli import main


def run(self, a, /, b, *rest, c=1, **more):
    from quantseg.errors import Error

    return decide(a)
""",
    "quantseg/errors.py": "class Error(Exception): ...\n",
    "quantseg/py.typed": "",
    "quantseg/cli/__init__.py": "",
    "quantseg/cli/show.py": '''
def show(a, b, c, d, e, f, g):
    """Shows.

    Much.
    """
    print(a)

    print(b)
''',
    "quantseg/graph/__init__.py": "from .edit import Error\n",
    "quantseg/graph/edit.py": "class Error(Exception): ...\n",
    "quantseg/quantization/__init__.py": "",
    "quantseg/quantization/plan.py": "def plan(model):\n    return plan(model)\n",
    "quantseg/__pycache__/api.txt": "",
}


@pytest.fixture
def made_up(tmp_path: Path) -> Path:
    """A checkout of a few lines, each with something to count."""
    for name, text in MADE_UP.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_entries_are_files_and_folders(made_up: Path) -> None:
    assert source.entries(made_up) == ["__init__.py", "api.py", "cli", "errors.py", "graph", "py.typed", "quantization"]


def test_pairs_are_of_different_rooms_and_by_what_runs(made_up: Path) -> None:
    on_load = ["api -> graph", "api -> quantization"]
    assert source.import_pairs(made_up) == on_load
    assert source.import_pairs(made_up, on_load=False) == sorted([*on_load, "api -> cli", "api -> errors"])


def test_plan_is_found_under_another_name_and_not_at_home(made_up: Path) -> None:
    assert source.plan_callers(made_up) == ["quantseg.api"]


@pytest.mark.parametrize(
    ("text", "called"),
    [
        ("from quantseg import quantization\nquantization.plan.plan(1)", True),
        ("import quantseg.quantization.plan\nquantseg.quantization.plan.plan(1)", True),
        ("from quantseg.quantization.plan import plan\nkeep = plan", False),
        ("from quantseg.quantization import candidate\ncandidate.plan", False),
        ("def plan(): ...\nplan()", False),
    ],
)
def test_plan_is_called_where_it_is_imported_and_called(made_up: Path, text: str, called: bool) -> None:
    (made_up / "quantseg/graph/edit.py").write_text(text)
    assert source.plan_callers(made_up) == ["quantseg.api"] + ["quantseg.graph.edit"] * called


def test_parameters_of_the_command_line_and_self_do_not_count(made_up: Path) -> None:
    assert source.parameters(made_up) == [(5, "quantseg.api.run"), (1, "quantseg.quantization.plan.plan")]


def test_a_body_begins_after_the_docstring(made_up: Path) -> None:
    assert source.command_bodies(made_up) == [(3, "quantseg.cli.show")]


def test_a_class_of_two_modules_is_ambiguous(made_up: Path) -> None:
    assert source.ambiguous_classes(made_up) == ["Error: quantseg.errors, quantseg.graph.edit"]


def test_the_example_is_the_one_that_quantises(made_up: Path) -> None:
    assert source.example_lines(made_up) == ["import a", 'qs.quantize("m")']
    assert source.example_imports(made_up) == ["import a"]


VALUES = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Job:
    model: FloatModel
    {fields}

@dataclass
class Overrides:
    kept_float: dict[str, str]

def run(job: "Job | None", overrides: Overrides): ...
"""


@pytest.mark.parametrize(
    ("fields", "values"),
    [
        ("recipe: Recipe", ["Overrides"]),
        ("settings: QuantSettings", ["Job", "Overrides"]),
        ("ranges: Mapping[str, Range]", ["Job", "Overrides"]),
        ("settings: QuantSettings; ranges: RangeTable; overrides: Overrides", ["Job"]),
    ],
)
def test_a_value_holds_two_or_overrides_and_its_parts_count_with_the_whole(
    made_up: Path, fields: str, values: list[str]
) -> None:
    (made_up / "quantseg/graph/edit.py").write_text(VALUES.format(fields=fields))
    assert source.model_values(made_up) == [f"quantseg.graph.edit.{name}" for name in values]


def test_a_value_that_no_function_is_given_is_none(made_up: Path) -> None:
    text = VALUES.format(fields="settings: QuantSettings").replace('job: "Job | None", ', "")
    (made_up / "quantseg/graph/edit.py").write_text(text)
    assert source.model_values(made_up) == ["quantseg.graph.edit.Overrides"]
