"""Reads the documents: their YAML blocks, command lines and links."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PAGES", "REPOSITORY", "Block", "blocks", "command_lines", "commands_in_text", "prose"]

REPOSITORY = Path(__file__).parents[3]
_DOCS = REPOSITORY / "docs"

PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "README.zh.md",
    *(page for page in sorted(_DOCS.rglob("*.md")) if page.parent.name != "reference"),
]
"""Every document for users that is written by hand."""

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_INDENTED = re.compile(r"(?<=\n\n)((?: {4}.*\n|\n(?= {4}))+)")
_COMMAND = re.compile(r"(?:^|-- |kubectl )(ascendllm(?: .*)?)$")


@dataclass(frozen=True)
class Block:
    """A fenced block, without its indentation."""

    page: Path
    language: str
    content: str

    @property
    def name(self) -> str:
        return str(self.page.relative_to(REPOSITORY))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page."""
    for match in _FENCE.finditer(page.read_text("utf-8")):
        yield Block(page, match[2], textwrap.dedent(match[3]))


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def command_lines(page: Path) -> Iterator[str]:
    """The command lines of `ascendllm` in a page's blocks, fenced or indented."""
    shown = [block.content for block in blocks(page) if block.language in ("", "bash", "sh")]
    shown += [textwrap.dedent(match[1]) for match in _INDENTED.finditer(prose(page))]
    for content in shown:
        lines = content.replace("\\\n", " ").splitlines()
        if any(line.startswith("$ ") for line in lines):
            # The other lines are output.
            lines = [line[2:] for line in lines if line.startswith("$ ")]
        for line in lines:
            command = re.split(r" [>|#&]", line.strip())[0]
            if (found := _COMMAND.search(command)) is not None:
                yield found[1]


def commands_in_text(page: Path) -> Iterator[str]:
    """The commands of `ascendllm` in a page's text, which may leave arguments out."""
    for code in re.findall(r"`([^`]+)`", prose(page)):
        found = _COMMAND.match(" ".join(code.split()))
        if found is not None and found[1] != "ascendllm":
            yield found[1]
