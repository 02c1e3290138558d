"""Bounds on the text of a recipe, which may come with a stranger's model, before a TOML parser is given it."""

import re

from quantseg.errors import RecipeError
from quantseg.files import limits

_ASIDE = re.compile(
    r'"""(?:[^\\]|\\.?)*?(?:"""|\Z)'
    "|"
    r"'''.*?(?:'''|\Z)"
    "|"
    r'"(?:[^"\\\n]|\\.)*"?'
    "|"
    r"'[^'\n]*'?"
    "|"
    r"\#[^\n]*",
    re.DOTALL,
)
"""A string or a comment. Each alternative also takes one that is not closed, so that no text is looked at twice."""
_BETWEEN_KEYS = re.compile(r"[=,\[\]{}\n]")


def check_text(text: str) -> None:
    """Raises RecipeError for a text that is longer, or has keys of more parts, than `limits` allows."""
    if len(text) > limits.RECIPE_BYTES:
        raise RecipeError(f"has {len(text):,} characters, at most {limits.RECIPE_BYTES:,} are read; shorten it")
    bare = _ASIDE.sub("_", text)
    if any(part.count(".") >= limits.RECIPE_KEY for part in _BETWEEN_KEYS.split(bare)):
        raise RecipeError(f"a key has more than {limits.RECIPE_KEY} parts, one of a recipe has two; correct it")
