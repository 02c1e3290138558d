"""Examples in docstrings begin with >>>, which Markdown takes for a quotation: here they become blocks of code."""

import re
from typing import Any

import griffe

EXAMPLE = re.compile(r"(?:^>>> .*\n(?:^(?!>>> )\S.*\n|^\.\.\. .*\n|^>>> .*\n)*)+", re.MULTILINE)


def fenced(text: str) -> str:
    """The text with each run of examples and their results between fences."""
    return EXAMPLE.sub(lambda match: f"```pycon\n{match[0]}```\n", f"{text.rstrip()}\n")


class Doctests(griffe.Extension):
    """Rewrites the docstring of everything that is loaded."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Fences the examples of one object."""
        if obj.docstring is not None and ">>> " in obj.docstring.value:
            obj.docstring.value = fenced(obj.docstring.value)
