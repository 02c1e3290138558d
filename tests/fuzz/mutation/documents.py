"""Mutations of JSON: other types, missing and double keys, deep nesting, numbers that no type holds."""

import copy
import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.fuzz.mutation import odd, raw


def mutated(random: Random, document: Any) -> bytes:
    """The file of a document in which one to three places are changed; sometimes its text or bytes are, too."""
    changed = json.loads(json.dumps(document))
    for _ in range(random.choice((0, 1, 1, 1, 1, 2, 3))):
        changed = _changed(random, changed)
    text = json.dumps(changed, ensure_ascii=random.random() < 0.5, indent=random.choice((None, None, 1)))
    if random.random() < 0.15:
        text = random.choice(_TEXTUAL)(random, text)
    encoding = random.choice(("utf-8",) * 12 + ("utf-8-sig", "utf-16", "utf-32", "latin-1"))
    content = text.encode(encoding, "surrogatepass" if encoding == "utf-8" else "replace")
    return raw.mutated(random, content) if random.random() < 0.15 else content


def value(random: Random) -> Any:
    """Any value that JSON can hold, and some that it cannot but Python's reader takes."""
    return random.choice(
        (
            lambda: None, lambda: True, lambda: False, lambda: odd.integer(random), lambda: odd.integer(random),
            lambda: random.choice(odd.HUGE[:4]), lambda: odd.number(random), lambda: odd.number(random),
            lambda: odd.text(random), lambda: odd.text(random), lambda: odd.SURROGATE, list, dict, lambda: [[]],
            lambda: [0], lambda: [odd.number(random)] * 3, lambda: [1] * 100_000, lambda: {"": None},
            lambda: {"a": {"b": []}}, lambda: _nested(random),
        )
    )()  # fmt: skip


def _nested(random: Random) -> Any:
    """Lists within lists, as deep as the writer goes."""
    inner: Any = []
    for _ in range(random.choice((3, 50, 300))):
        inner = [inner] if random.random() < 0.9 else {"a": inner}
    return inner


def _places(document: Any) -> list[tuple[Any, Any]]:
    """(container, key or index) of every value below the top."""
    found, todo = [], [document]
    while todo:
        one = todo.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        found += [(one, key) for key in keys]
        todo += [one[key] for key in keys]
    return found


def _changed(random: Random, document: Any) -> Any:
    places = _places(document)
    if not places or random.random() < 0.03:
        return value(random)
    # A place of each depth as likely as another: else the longest list takes nearly all changes.
    container = random.choice(list({id(one): one for one, _ in places}.values()))
    key = random.choice([key for one, key in places if one is container])
    random.choice(_CHANGES)(random, container, key)
    return document


def _replace(random: Random, container: Any, key: Any) -> None:
    container[key] = value(random)


def _remove(random: Random, container: Any, key: Any) -> None:
    del container[key]


def _double(random: Random, container: Any, key: Any) -> None:
    if isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[odd.text(random)] = copy.deepcopy(container[key])


def _rename(random: Random, container: Any, key: Any) -> None:
    if isinstance(container, dict):
        container[odd.text(random)] = container.pop(key)
    else:
        container.reverse()


def _near(random: Random, container: Any, key: Any) -> None:
    """A value of the same type beside the one that is there."""
    old = container[key]
    if isinstance(old, bool) or old is None:
        container[key] = not old
    elif isinstance(old, int):
        container[key] = random.choice((old + 1, old - 1, -old, old * 1000, old << 40, float(old), str(old)))
    elif isinstance(old, float):
        container[key] = random.choice(
            (-old, old * 1e30, old * 1e-30, round(max(min(old, 1e9), -1e9)) if old == old else 0)
        )
    elif isinstance(old, str):
        container[key] = random.choice((old + " ", old.upper(), old[:-1], old * 50, old + odd.text(random)))
    elif isinstance(old, list):
        container[key] = random.choice((old + old, old[:-1], old[:1], dict(enumerate(old)), old * 20))
    else:
        container[key] = random.choice(([*map(list, old.items())], list(old.values()), {**old, "": 0}))


def _other(random: Random, container: Any, key: Any) -> None:
    """The value of another place of the same container."""
    other = random.choice(list(container) if isinstance(container, dict) else range(len(container)))
    container[key] = copy.deepcopy(container[other])


_CHANGES: tuple[Callable[[Random, Any, Any], None], ...] = (
    _replace, _replace, _replace, _remove, _double, _rename, _near, _near, _other,
)  # fmt: skip


def _insert(random: Random, text: str, part: str) -> str:
    start = random.randrange(len(text) + 1)
    return text[:start] + part + text[start:]


_TEXTUAL: tuple[Callable[[Random, str], str], ...] = (
    lambda random, text: "[" * 200_000,
    lambda random, text: '{"a":' * 100_000,
    lambda random, text: text.replace("{", '{"a":' + "[" * 5_000 + "]" * 5_000 + ",", 1),
    lambda random, text: text.replace("1", "1" * 6_000, 1),
    lambda random, text: text.replace("1", "1e999999999", 1),
    lambda random, text: text.replace("1", "Infinity", 1),
    lambda random, text: text.replace("1", "NaN", 1),
    lambda random, text: text.replace("1", "-0", 1),
    lambda random, text: text.replace("{", "{" + text[1:40].partition(",")[0] + ",", 1),
    lambda random, text: _insert(random, text, random.choice((",", "]", "}", '"', "\\", "\\ud800", "\0", "//", ":"))),
    lambda random, text: text + text,
    lambda random, text: "",
    lambda random, text: text[: random.randrange(len(text) + 1)],
)
