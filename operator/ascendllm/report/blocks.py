"""What a document is made of, before it is Markdown or HTML.

All text is plain: it may come from a model, a server or a user, and each form escapes it and leaves
only its printable characters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ascendllm.checks.result import one_line

__all__ = ["Block", "Document", "Paragraph", "Preformatted", "Section", "Table", "Verdict"]


@dataclass(frozen=True)
class Paragraph:
    """Words."""

    text: str


@dataclass(frozen=True)
class Verdict:
    """A result that stands out, and what was found.

    Attributes:
        label: What it is a verdict of; nothing for the section's own check.
        result: Such as Passed.
        text: The message.
    """

    result: str
    text: str = ""
    label: str = ""


@dataclass(frozen=True)
class Table:
    """Rows of cells.

    Attributes:
        head: One text a column; all empty for a list of names and values.
        rows: As many cells in each as in the head.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Preformatted:
    """Text whose lines and columns are its own."""

    text: str

    @property
    def printable(self) -> str:
        """The text with only line breaks and printable characters."""
        return "\n".join(one_line(line) for line in self.text.rstrip().split("\n"))


Block = Paragraph | Verdict | Table | Preformatted


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """The whole: a title, what comes first, and sections."""

    title: str
    summary: Sequence[Block]
    sections: Sequence[Section]
