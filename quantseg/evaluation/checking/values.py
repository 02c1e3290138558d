"""The values of a check: what was understood of a model and its data, and what is wrong with them."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from quantseg.data.recipe import InputRecipe, Recipe
from quantseg.data.values import listing
from quantseg.errors import printable
from quantseg.graph import TensorSpec

ERROR, WARNING, NOTE = "error", "warning", "note"
SEVERITIES = (ERROR, WARNING, NOTE)
"""error: commands refuse it, or what they write is worthless. warning: most likely wrong. note: to be known."""


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or to be known.

    name: stable, for scripts: see `docs/commands/check.md`. severity: one of SEVERITIES. fact: what was seen, with
    figures. remedy: what to do. figures: those of the fact.
    """

    name: str
    severity: str
    fact: str
    remedy: str
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def told(self) -> str:
        """The finding without its severity."""
        return f"{self.name}: {self.fact}; {self.remedy}"

    def __str__(self) -> str:
        return f"{self.severity} {self.told}"


@dataclass(frozen=True)
class Guess:
    """The preprocessing that fits the model best among those of known families.

    family: its name in FAMILIES. recipe: the whole recipe, completed. sure: whether the evidence leaves no other family
    nearly as good. evidence: lines that say why. rivals: families that fit nearly as well.
    """

    family: str
    recipe: Recipe
    sure: bool
    evidence: tuple[str, ...]
    rivals: tuple[str, ...] = ()


@dataclass(frozen=True)
class DataFacts:
    """What a data set holds. images, masks: their numbers. read: masks that were looked at. ids: class ids in these."""

    place: str
    layout: str
    split: str | None
    splits: tuple[str, ...]
    images: int
    masks: int
    read: int = 0
    ids: tuple[int, ...] = ()

    def __str__(self) -> str:
        how = self.layout if self.split is None else f"{self.layout}, split {self.split}"
        splits = f"; splits {', '.join(self.splits)}" if self.splits else ""
        masks = f"{self.masks} masks" if self.masks else "no masks"
        ids = f" with class ids {_ranges(self.ids)} in {self.read} of them" if self.read else ""
        return f"{self.place}: {how}{splits}; {self.images} images, {masks}{ids}"


@dataclass(frozen=True)
class Check:
    """What was understood of a model and its data, and what is wrong with them.

    inputs: all inputs of the model. image: the name of the one that takes the image. recipe: completed. recipe_from:
    where it comes from, in words. declared: whether it comes from a file, metadata or flags. classes: their number,
    None where unknown. data, calib: None without such.
    """

    model: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    image: str
    recipe: Recipe
    recipe_from: str
    declared: bool
    classes: int | None
    data: DataFacts | None
    calib: DataFacts | None
    guess: Guess | None
    findings: tuple[Finding, ...]

    @property
    def is_fine(self) -> bool:
        """Whether there is neither an error nor a warning."""
        return all(finding.severity == NOTE for finding in self.findings)

    def names(self) -> tuple[str, ...]:
        """The names of all errors and warnings."""
        return tuple(finding.name for finding in self.findings if finding.severity != NOTE)

    def findings_of(self, name: str) -> tuple[Finding, ...]:
        """The findings of a name."""
        return tuple(finding for finding in self.findings if finding.name == name)

    def rows(self) -> list[tuple[str, str]]:
        """What was understood, as pairs of a heading and its text."""
        given, output = self.recipe.input, self.recipe.output
        height, width = given.size or (0, 0)
        count = "number unknown" if self.classes is None else str(self.classes)
        rows = [
            ("inputs", listing(self.inputs)),
            ("takes the image", f"{self.image!r}, {given.layout} {given.channels or ''}".strip()),
            ("image size", f"{height}x{width}, resized by {given.resize}"),
            ("preprocessing", formula(self.recipe.input)),
            ("recipe from", self.recipe_from),
            ("output", f"{', '.join(filter(None, (repr(output.name), output.layout)))}, of {listing(self.outputs)}"),
            ("head", str(output.head) + (f", threshold {output.threshold:g}" if output.head != "argmax" else "")),
            ("classes", count if names_made_up(output.classes) else f"{count}: {', '.join(output.classes)}"),
        ]
        rows += [
            (what, str(facts)) for what, facts in (("data", self.data), ("calib", self.calib)) if facts is not None
        ]
        return [(heading, printable(text)) for heading, text in rows]

    def __str__(self) -> str:
        lines = [f"Check of {printable(self.model)}"]
        lines += [f"  {heading}: {text}" for heading, text in self.rows()]
        lines += [f"  {printable(str(finding))}" for finding in self.findings]
        return "\n".join(lines if self.findings else [*lines, "  nothing is wrong"])

    def to_json(self) -> dict[str, Any]:
        """Values for JSON."""
        values = asdict(self)
        return {**values, "fine": self.is_fine, "recipe_to_use": self.to_use.to_toml()}

    @property
    def to_use(self) -> Recipe:
        """The recipe that fits best; the completed one where nothing was tried."""
        return self.recipe if self.guess is None else self.guess.recipe


def names_made_up(classes: tuple[str, ...]) -> bool:
    """Whether the class names tell nothing: class 0, class 1, …; also where there are none."""
    return all(name == f"class {index}" for index, name in enumerate(classes))


def compact(recipe: Recipe) -> str:
    """The recipe as TOML with an array on one line; without class names where the recipe has made them up."""
    made_up = names_made_up(recipe.output.classes)
    shown = replace(recipe, output=replace(recipe.output, classes=())) if made_up else recipe
    text = re.sub(r"\[\n([^\]]*),\n\]", lambda m: f"[{' '.join(m[1].split())}]", shown.to_toml())
    return re.sub(r"^classes = \[\]\n", "", text, flags=re.MULTILINE).strip()


def formula(given: InputRecipe) -> str:
    """The preprocessing in one line: channels, and x as a function of the pixel."""
    divisor = 1 / given.scale
    text = "pixel" if given.scale == 1 else f"pixel / {divisor:.6g}"
    if any(given.mean):
        text = f"{text} − {_numbers(given.mean)}"
    if any(value != 1 for value in given.std):
        text = f"({text}) / {_numbers(given.std)}" if " " in text else f"{text} / {_numbers(given.std)}"
    return f"{given.channels or 'arrays'}, x = {text}"


def _numbers(values: tuple[float, ...]) -> str:
    numbers = [f"{value:.6g}" for value in values]
    return numbers[0] if len(numbers) == 1 else f"({', '.join(numbers)})"


def _ranges(ids: tuple[int, ...]) -> str:
    """Sorted numbers with runs of them as a…b."""
    runs: list[list[int]] = []
    for one in ids:
        if runs and one == runs[-1][1] + 1:
            runs[-1][1] = one
        else:
            runs.append([one, one])
    return ", ".join(f"{a}" if a == b else f"{a}…{b}" if b > a + 1 else f"{a}, {b}" for a, b in runs)
