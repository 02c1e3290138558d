"""What the source of a checkout says about its shape, counted from its syntax trees; nothing of it is imported."""

import ast
import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "quantseg"
COMMAND_LINE = ("cli", "commands", "__main__")
PLANNER = ("quantization", "planning")
PARTS = {
    "model": r"\b(FloatModel|Prepared)\b",
    "ranges": r"\b(RangeTable|CalibrationTable)\b|Mapping\[str, Range\]",
    "settings": r"\bQuantSettings\b",
    "overrides": r"\b(Overrides|Placement)\b",
}
"""What is decided about a float network on its way to integers → the types that hold it, in old trees and new."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Module:
    """A file of the package: its dotted name, whether it is a folder's `__init__`, and its syntax tree."""

    name: str
    folder: bool
    tree: ast.Module

    @property
    def room(self) -> str:
        """The entry of quantseg/ that it lies in; "" for the package itself."""
        return self.name.partition(".")[2].partition(".")[0]


@functools.cache
def modules(checkout: Path) -> tuple[Module, ...]:
    """Every module of the checkout's package."""
    found = []
    for path in sorted((checkout / PACKAGE).rglob("*.py")):
        parts = path.relative_to(checkout).with_suffix("").parts
        folder = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if folder else parts)
        found.append(Module(name, folder, ast.parse(path.read_text(encoding="utf-8"))))
    return tuple(found)


def entries(checkout: Path) -> list[str]:
    """Files and folders that lie in quantseg/ itself, `__init__.py` and py.typed among them."""
    names = [path.name for path in (checkout / PACKAGE).iterdir()]
    return sorted(name for name in names if name != "__pycache__" and not name.startswith("."))


def import_pairs(checkout: Path, *, on_load: bool = True) -> list[str]:
    """Pairs of different entries of which one imports the other.

    on_load: by statements that run when the module is loaded; else by all, also within functions and for types only.
    """
    known = {module.name: module for module in modules(checkout)}
    pairs = set()
    for module in known.values():
        for statement in _imports(module.tree, on_load=on_load):
            for target in _imported(module, statement):
                name = target if target in known else target.rpartition(".")[0]
                other = known[name].room if name in known else ""
                if module.room and other and other != module.room and module.room != "__main__":
                    pairs.add(f"{module.room} -> {other}")
    return sorted(pairs)


def plan_callers(checkout: Path) -> list[str]:
    """Modules outside the planner's room that call its function `plan`, under whatever name."""
    found = []
    for module in modules(checkout):
        if module.room in PLANNER:
            continue
        bound = _bound(module)
        calls = (node.func for node in ast.walk(module.tree) if isinstance(node, ast.Call))
        if any(_is_plan(bound.get(name, "") + dots) for name, dots in map(_dotted, calls)):
            found.append(module.name)
    return found


def parameters(checkout: Path) -> list[tuple[int, str]]:
    """Functions outside the command line by their number of parameters, most first; self and cls are none."""
    counted = []
    for module in modules(checkout):
        if module.room not in COMMAND_LINE:
            for function in _functions(module.tree):
                names = [name for name in _parameters(function) if name not in ("self", "cls")]
                counted.append((len(names), f"{module.name}.{function.name}"))
    return sorted(counted, key=lambda one: (-one[0], one[1]))


def command_bodies(checkout: Path) -> list[tuple[int, str]]:
    """Commands by the lines of their bodies, longest first: without decorators, signature and docstring.

    A command is a function of the command line that has its module's name: `quantize` in quantize.py.
    """
    counted = []
    for module in modules(checkout):
        if module.room in COMMAND_LINE:
            for function in module.tree.body:
                if isinstance(function, Function) and function.name == module.name.rpartition(".")[2]:
                    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
                    lines = (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0
                    counted.append((lines, module.name))
    return sorted(counted, key=lambda one: (-one[0], one[1]))


def ambiguous_classes(checkout: Path) -> list[str]:
    """Names of classes that more than one module defines."""
    homes = defaultdict(set)
    for module in modules(checkout):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef):
                homes[node.name].add(module.name)
    return sorted(f"{name}: {', '.join(sorted(where))}" for name, where in homes.items() if len(where) > 1)


def model_values(checkout: Path) -> list[str]:
    """Values that hold a float network together with what is decided about it, and that functions are given.

    Dataclasses that hold two of model, ranges and settings, or choices for single nodes (`kept_float`, Placement,
    Overrides), and that some parameter's type names. A part of one that holds all four is counted with it.
    """
    held, whole = {}, set()
    for module in modules(checkout):
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ClassDef) and any("dataclass" in ast.unparse(one) for one in node.decorator_list):
                fields = [one for one in node.body if isinstance(one, ast.AnnAssign)]
                types = " ".join(ast.unparse(field.annotation) for field in fields)
                parts = {part for part, pattern in PARTS.items() if re.search(pattern, types)}
                if any(ast.unparse(field.target) == "kept_float" for field in fields):
                    parts.add("overrides")
                if "overrides" in parts or len(parts) > 1:
                    held[module.name, node.name] = parts
                if parts == set(PARTS):
                    whole |= set(re.findall(r"\w+", types))
    given = _given(checkout)
    return sorted(
        f"{home}.{name}"
        for home, name in held
        if name not in whole and any(name == one and f"{home}.".startswith(f"{where}.") for where, one in given)
    )


def python_example(checkout: Path) -> str:
    """The README's first Python example that quantises."""
    text = (checkout / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return next(block for block in blocks if "quantize(" in block)


def example_lines(checkout: Path) -> list[str]:
    """Lines of the README's Python example, blank ones not counted."""
    return [line for line in python_example(checkout).splitlines() if line.strip()]


def example_imports(checkout: Path) -> list[str]:
    """Import statements of the README's Python example."""
    return [line for line in example_lines(checkout) if re.match(r"(from|import)\b", line)]


def _functions(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def _arguments(function: Function) -> list[ast.arg]:
    found = function.args
    stars = [one for one in (found.vararg, found.kwarg) if one is not None]
    return [*found.posonlyargs, *found.args, *found.kwonlyargs, *stars]


def _parameters(function: Function) -> list[str]:
    return [one.arg for one in _arguments(function)]


def _imports(node: ast.AST, *, on_load: bool) -> Iterator[ast.Import | ast.ImportFrom]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (on_load and (isinstance(child, Function | ast.Lambda) or _for_types(child))):
            yield from _imports(child, on_load=on_load)


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _imported(module: Module, statement: ast.Import | ast.ImportFrom) -> list[str]:
    """Dotted names that the statement brings in, those relative to the module made whole."""
    if isinstance(statement, ast.Import):
        return [alias.name for alias in statement.names]
    base = statement.module or ""
    if statement.level:
        parts = module.name.split(".") if module.folder else module.name.split(".")[:-1]
        base = ".".join([*parts[: len(parts) - statement.level + 1], *([base] if base else [])])
    return [f"{base}.{alias.name}" for alias in statement.names]


def _bound(module: Module) -> dict[str, str]:
    """Names that the module imports → what they stand for."""
    bound = {}
    for statement in _imports(module.tree, on_load=False):
        for alias, target in zip(statement.names, _imported(module, statement), strict=True):
            plain = isinstance(statement, ast.Import) and alias.asname is None
            bound[alias.asname or alias.name.partition(".")[0]] = target.partition(".")[0] if plain else target
    return bound


def _dotted(function: ast.expr) -> tuple[str, str]:
    """`a.b.c` as ("a", ".b.c"); ("", "") for what is no name."""
    dots = ""
    while isinstance(function, ast.Attribute):
        function, dots = function.value, f".{function.attr}{dots}"
    return (function.id, dots) if isinstance(function, ast.Name) else ("", "")


def _is_plan(name: str) -> bool:
    parts = name.split(".")
    return parts[0] == PACKAGE and parts[1:2] != [] and parts[1] in PLANNER and parts[-1] == "plan" and len(parts) > 2


def _given(checkout: Path) -> set[tuple[str, str]]:
    """(module that a name comes from, name) of every type that a parameter's annotation names."""
    found = set()
    for module in modules(checkout):
        bound = _bound(module)
        own = {node.name for node in module.tree.body if isinstance(node, ast.ClassDef)}
        for function in _functions(module.tree):
            types = " ".join(ast.unparse(one.annotation) for one in _arguments(function) if one.annotation)
            for name in re.findall(r"[A-Za-z_]\w*", types):
                target = f"{module.name}.{name}" if name in own else bound.get(name, "")
                home, _, original = target.rpartition(".")
                found.add((home, original))
    return found
