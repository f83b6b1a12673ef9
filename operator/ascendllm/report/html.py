"""A document as one HTML page: nothing is loaded from elsewhere, nothing runs in it."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from ascendllm.checks.result import one_line
from ascendllm.report.blocks import Block, Document, Paragraph, Preformatted, Table, Verdict

__all__ = ["html"]

_STYLE = """\
body { font: 15px/1.5 system-ui, sans-serif; color: #1a1a1a; max-width: 62rem; margin: 2rem auto;
  padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { border: 1px solid #d0d0d0; padding: .25rem .6rem; text-align: left;
  vertical-align: top; }
th { background: #f4f4f4; }
td.figure { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
pre { background: #f4f4f4; padding: .8rem; overflow-x: auto; }
.Passed { color: #0a6b2d; } .Failed { color: #b00020; }
.Error, .Inconclusive, .Skipped { color: #8a5a00; }
@media (prefers-color-scheme: dark) {
  body { background: #161616; color: #e8e8e8; } th, pre { background: #242424; }
  th, td { border-color: #444; }
  .Passed { color: #5ad183; } .Failed { color: #ff7a8a; }
  .Error, .Inconclusive, .Skipped { color: #e0b050; }
}
"""
_RESULTS = frozenset({"Passed", "Failed", "Error", "Inconclusive", "Skipped"})


def html(document: Document) -> str:
    """The page, ending in a newline."""
    title = _text(document.title)
    body = [f"<h1>{title}</h1>", *(_block(block) for block in document.summary)]
    for section in document.sections:
        body.append(f"<h2>{_text(section.title)}</h2>")
        body += [_block(block) for block in section.blocks]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta http-equiv="Content-Security-Policy" '
            "content=\"default-src 'none'; style-src 'unsafe-inline'\">",
            f"<title>{title}</title>",
            f"<style>\n{_STYLE}</style>",
            "</head>",
            "<body>",
            *body,
            "</body>",
            "</html>",
            "",
        ]
    )


def _block(block: Block) -> str:
    match block:
        case Paragraph(text):
            return f"<p>{_text(text)}</p>"
        case Verdict(result, text, label):
            before = f"{_text(label)}: " if label else ""
            after = f": {_text(text)}" if text else ""
            return f"<p>{before}<strong{_class(result)}>{_text(result)}</strong>{after}</p>"
        case Table(head, rows):
            named = any(head)
            top = _row("th", head) if named else ""
            return "\n".join(
                filter(None, ["<table>", top, *(_row("td", row) for row in rows), "</table>"])
            )
        case Preformatted():
            return f"<pre>{escape(block.printable)}</pre>"


def _text(text: str) -> str:
    return escape(one_line(text))


def _row(tag: str, cells: Sequence[str]) -> str:
    return "<tr>" + "".join(f"<{tag}{_class(c)}>{_text(c)}</{tag}>" for c in cells) + "</tr>"


def _class(text: str) -> str:
    if text in _RESULTS:
        return f' class="{text}"'
    return ' class="figure"' if _is_figure(text) else ""


def _is_figure(text: str) -> bool:
    digits = text.removesuffix(" %").lstrip("+-")
    return digits.replace(".", "", 1).isascii() and digits.replace(".", "", 1).isdigit()
