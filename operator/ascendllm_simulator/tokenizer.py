"""A synthetic tokenizer: deterministic, reversible, and without a vocabulary file.

A token is up to six letters of one case (lower, Capitalised or UPPER), up to three digits, or one
punctuation mark, each including a space before it; any other character has one token per byte. So
` A` is one token and differs from `A`, and a text of ` word`s of at most six letters has as
many tokens as words. An id encodes the spelling of its token as a number, so no table is needed,
and all servers agree.
"""

from __future__ import annotations

import functools
import re
import string
from collections.abc import Iterable, Sequence

__all__ = [
    "BOS",
    "EOS",
    "LONGEST",
    "SPECIAL",
    "VOCABULARY",
    "count",
    "decode",
    "encode",
    "encode_special",
]

BOS = 256
EOS = 257
SPECIAL = {
    "<|begin_of_text|>": BOS,
    "<|end_of_text|>": EOS,
    "<|start_header_id|>": 258,
    "<|end_header_id|>": 259,
    "<|eot_id|>": 260,
}
"""Special tokens by their text; ids 0 to 255 are bytes."""

LONGEST: int = max(map(len, SPECIAL))
"""The number of characters of the longest token."""

_SPECIAL_TEXT = {number: text for text, number in SPECIAL.items()}
_LETTERS = 6
_DIGITS = 3
_PUNCTUATION = string.punctuation

_PUNCTUATION_BASE = 320
_DIGITS_BASE = 400
_DIGITS_SPAN: int = sum(10**length for length in range(1, _DIGITS + 1))
_WORD_BASE = 4096
_WORD_SPAN: int = sum(26**length for length in range(1, _LETTERS + 1))
_CASES = (str.lower, str.capitalize, str.upper)

VOCABULARY: int = _WORD_BASE + 2 * len(_CASES) * _WORD_SPAN
"""The size of the vocabulary: the highest id plus one."""

_PIECE = re.compile(
    r" ?(?:[A-Z]{2,6}|[A-Z][a-z]{0,5}|[a-z]{1,6}|[0-9]{1,3}|[!-/:-@\[-`{-~])|[\s\S]"
)
_SPECIAL_PATTERN = re.compile("(" + "|".join(re.escape(text) for text in SPECIAL) + ")")


def encode(text: str, *, bos: bool = False) -> list[int]:
    """Encode a text; the text of a special token becomes that token."""
    ids = [BOS] if bos else []
    for part in _SPECIAL_PATTERN.split(text) if "<|" in text else (text,):
        if part in SPECIAL:
            ids.append(SPECIAL[part])
            continue
        # No token spans a line break, so paragraphs, which prompts often share, can be cached.
        paragraphs = part.split("\n\n")
        for number, paragraph in enumerate(paragraphs):
            if number:
                ids += (10, 10)
            ids += _paragraph(paragraph)
    return ids


def encode_special(name: str) -> int:
    """The id of a special token, such as `<|eot_id|>`."""
    return SPECIAL[name]


def count(text: str, *, bos: bool = False) -> int:
    """The number of tokens of a text."""
    return len(encode(text, bos=bos))


def decode(ids: Iterable[int], *, skip_special: bool = False) -> str:
    """Decode ids; bytes that are not UTF-8 become U+FFFD, as in real tokenizers."""
    out: list[str] = []
    pending = bytearray()
    for number in ids:
        if number < 256:
            pending.append(number)
            continue
        if pending:
            out.append(pending.decode("utf-8", errors="replace"))
            pending.clear()
        if not (skip_special and number in _SPECIAL_TEXT):
            out.append(_text(number))
    if pending:
        out.append(pending.decode("utf-8", errors="replace"))
    return "".join(out)


@functools.lru_cache(maxsize=8192)
def _paragraph(text: str) -> Sequence[int]:
    ids: list[int] = []
    for piece in _PIECE.findall(text):
        if piece.isascii() and (len(piece) > 1 or piece.isalnum()):
            ids.append(_number(piece))
        else:
            ids += piece.encode("utf-8", errors="replace")
    return tuple(ids)


@functools.lru_cache(maxsize=65536)
def _number(piece: str) -> int:
    """The id of one ASCII piece of letters, digits, or a space and a punctuation mark."""
    spaced = piece[0] == " "
    body = piece[1:] if spaced else piece
    if body[0].isdigit():
        return _DIGITS_BASE + spaced * _DIGITS_SPAN + _bijective(body, 10, "0")
    if not body[0].isalpha():
        return _PUNCTUATION_BASE + _PUNCTUATION.index(body)
    case = 0 if body.islower() else 1 if body == body.capitalize() else 2
    return _WORD_BASE + (2 * case + spaced) * _WORD_SPAN + _bijective(body.lower(), 26, "a")


@functools.lru_cache(maxsize=65536)
def _text(number: int) -> str:
    if number in _SPECIAL_TEXT:
        return _SPECIAL_TEXT[number]
    if number >= VOCABULARY:
        return ""
    if number >= _WORD_BASE:
        kind, rest = divmod(number - _WORD_BASE, _WORD_SPAN)
        case, spaced = divmod(kind, 2)
        body = _CASES[case](_spell(rest, 26, "a"))
        return " " * spaced + body
    if number >= _DIGITS_BASE + 2 * _DIGITS_SPAN:
        return ""
    if number >= _DIGITS_BASE:
        spaced, rest = divmod(number - _DIGITS_BASE, _DIGITS_SPAN)
        return " " * spaced + _spell(rest, 10, "0")
    mark = number - _PUNCTUATION_BASE
    return f" {_PUNCTUATION[mark]}" if 0 <= mark < len(_PUNCTUATION) else ""


def _bijective(body: str, base: int, zero: str) -> int:
    """Number all strings of length 1, then all of length 2, and so on."""
    number = 0
    for character in body:
        number = number * base + ord(character) - ord(zero) + 1
    return number - 1


def _spell(number: int, base: int, zero: str) -> str:
    characters: list[str] = []
    number += 1
    while number > 0:
        number, digit = divmod(number - 1, base)
        characters.append(chr(ord(zero) + digit))
    return "".join(reversed(characters))
