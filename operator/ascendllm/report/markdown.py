"""A document as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ascendllm.checks.result import one_line
from ascendllm.report.blocks import Block, Document, Paragraph, Preformatted, Table, Verdict

__all__ = ["markdown"]

_SPECIAL = re.compile(r"[\\`*<&\[\]]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
"""What Markdown would read as more than a letter; an underscore inside a word is none of it."""


def markdown(document: Document) -> str:
    """The document, ending in a newline."""
    parts = [f"# {_text(document.title)}", *(_block(block) for block in document.summary)]
    for section in document.sections:
        parts += [f"## {_text(section.title)}", *(_block(block) for block in section.blocks)]
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return _line(text)
        case Verdict(result, text, label):
            label = f"{_text(label)}: " if label else ""
            return f"{label}**{_text(result)}**" + (f": {_text(text)}" if text else "")
        case Table(head, rows):
            return "\n".join(_row(cells) for cells in (head, ["---"] * len(head), *rows))
        case Preformatted():
            text = block.printable
            longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
            fence = "`" * max(3, longest + 1)
            return f"{fence}\n{text}\n{fence}"


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_text(cell).replace("|", "\\|") for cell in cells) + " |"


def _line(text: str) -> str:
    """A text at the start of a line, where a few more characters would begin something."""
    return re.sub(r"^([#>+-]|\d+[.)])", r"\\\1", _text(text))


def _text(text: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found.group()}", " ".join(one_line(text).split()))
