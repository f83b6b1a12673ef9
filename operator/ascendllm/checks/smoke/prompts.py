"""The user's own prompts: read from `--prompts`.

Shape: a JSON list of at most 20 `{"prompt": str | "messages": [{"role", "content"}], "maxTokens":
int [64], "expect": regex}`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ascendllm.checks.smoke.patterns import PATTERN_CHARACTERS
from ascendllm.exceptions import SpecError

__all__ = ["PromptCase", "read_prompts"]

MOST_PROMPTS = 20
MOST_CHARACTERS = 100_000
MOST_TOKENS = 4096
FILE_BYTES = 1024 * 1024
_KEYS = {"prompt", "messages", "maxTokens", "expect"}
_ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class PromptCase:
    """One prompt, and what its answer must look like.

    Args:
        prompt: A text to go on with, or None.
        messages: A chat to answer, or None: (role, content).
        max_tokens: The longest answer.
        expect: A regular expression that is found in the answer; None: any text.
    """

    prompt: str | None
    messages: tuple[tuple[str, str], ...] | None
    max_tokens: int = 64
    expect: str | None = None


def read_prompts(given: str) -> tuple[PromptCase, ...]:
    """Read `--prompts`: the JSON itself, or `@FILE`.

    Raises:
        SpecError: `BadPrompts`, naming the prompt (from 1) and the rule.
    """
    text = _file(Path(given[1:])) if given.startswith("@") else given
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(f"is no JSON ({error})") from None
    if not isinstance(rows, list) or not 1 <= len(rows) <= MOST_PROMPTS:
        raise _bad(f"must be a list of 1 to {MOST_PROMPTS} prompts")
    return tuple(_case(row, number) for number, row in enumerate(rows, 1))


def _case(row: object, number: int) -> PromptCase:
    if not isinstance(row, dict):
        raise _bad(f"prompt {number} is no object")
    if unknown := sorted(str(key) for key in row if key not in _KEYS):
        raise _bad(f"prompt {number} has {unknown[0]!r:.40}: known are {', '.join(sorted(_KEYS))}")
    prompt, messages = row.get("prompt"), row.get("messages")
    if (prompt is None) == (messages is None):
        raise _bad(f"prompt {number} must have exactly one of prompt and messages")
    if prompt is not None and not _is_text(prompt):
        raise _bad(f"prompt {number}: prompt must be a text of 1 to {MOST_CHARACTERS} characters")
    most = row.get("maxTokens", 64)
    if type(most) is not int or not 1 <= most <= MOST_TOKENS:
        raise _bad(f"prompt {number}: maxTokens {most!r:.20} must be 1 to {MOST_TOKENS}")
    expect = row.get("expect")
    if expect is not None and not _is_pattern(expect):
        raise _bad(
            f"prompt {number}: expect must be a regular expression of 1 to {PATTERN_CHARACTERS} "
            "characters"
        )
    turns = None if messages is None else _messages(messages, number)
    return PromptCase(cast("str | None", prompt), turns, most, expect)


def _is_pattern(value: object) -> bool:
    """Whether a value may be a pattern; only `patterns.check_pattern` knows whether it is one."""
    return isinstance(value, str) and 1 <= len(value) <= PATTERN_CHARACTERS


def _messages(messages: object, number: int) -> tuple[tuple[str, str], ...]:
    turns: list[tuple[str, str]] = []
    for turn in messages if isinstance(messages, list) else ():
        role, content = (
            (turn.get("role"), turn.get("content")) if isinstance(turn, dict) else (None, None)
        )
        if role not in _ROLES or not _is_text(content):
            turns = []
            break
        turns.append((cast(str, role), cast(str, content)))
    if not 1 <= len(turns) <= MOST_PROMPTS:
        raise _bad(
            f"prompt {number}: messages must be 1 to {MOST_PROMPTS} of {{role, content}} with role "
            f"{', '.join(_ROLES)} and content a text"
        )
    return tuple(turns)


def _is_text(value: object) -> bool:
    if not isinstance(value, str) or not 1 <= len(value) <= MOST_CHARACTERS:
        return False
    return not any("\ud800" <= character <= "\udfff" for character in value)


def _file(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES + 1)
        text = raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise _bad(f"@{path}: can't be read: {error}") from None
    if len(raw) > FILE_BYTES:
        raise _bad(f"@{path}: is longer than {FILE_BYTES} bytes")
    return text


def _bad(why: str) -> SpecError:
    return SpecError("BadPrompts", f"--prompts: {why}")
