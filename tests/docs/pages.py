"""The Markdown pages of this repository that people read, and the blocks of code in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ("CHANGELOG.md",)
"""Pages whose blocks are not run."""

BLOCK = re.compile(
    r"^(?:<!-- not run: (?P<reason>[^\n]+?) -->\n+)?^```(?P<language>[\w+#-]*)[^\n]*\n(?P<code>.*?)^```$",
    re.DOTALL | re.MULTILINE,
)
PROMPT = "$ "


@dataclass(frozen=True)
class Block:
    """One fenced block. line: of its first line of code, counted from 1; reason: why it is not run, or None."""

    language: str
    code: str
    line: int
    reason: str | None = None

    @property
    def commands(self) -> list[str]:
        """What a reader types, a command each: lines of sh that go on with a backslash are one."""
        text = re.sub(r"[ \t]*\\\n\s*", " ", self.code)
        lines = [line.strip() for line in text.splitlines()]
        if self.language == "console":
            return [line.removeprefix(PROMPT) for line in lines if line.startswith(PROMPT)]
        return [line for line in lines if line and not line.startswith("#")]


def blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    return [
        Block(found["language"], found["code"], text[: found.start("code")].count("\n") + 1, found["reason"])
        for found in BLOCK.finditer(text)
    ]


def pages() -> list[Path]:
    """README.md and all of docs/, by path."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def name(page: Path) -> str:
    """A page's path in the repository."""
    return page.relative_to(ROOT).as_posix()


def links(text: str) -> Iterator[str]:
    """Targets of links and images, those in code left out."""
    prose = re.sub(r"`[^`\n]+`", "", BLOCK.sub("", text))
    for found in re.finditer(r"\]\(([^)\s]+)(?: \"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"", prose):
        yield found[1] or found[2]
