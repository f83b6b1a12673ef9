"""Compiles and searches a user's regular expressions within limits.

Python's `re` can take exponential time to search a text and seconds to compile a pattern of 256
characters, and it cannot be interrupted from within. So both happen in a child process with limits
on CPU time, memory and wall time, which is killed when it exceeds them. Neither the operator nor
the process that asks the server ever compiles a user's pattern.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys

from ascendllm.exceptions import CheckError

__all__ = ["PATTERN_CHARACTERS", "check_pattern", "search"]

PATTERN_CHARACTERS = 256
SECONDS = 20.0
"""Wall time; a process starts in 30 ms, but a loaded machine can take long."""

_SHOWN_CHARACTERS = 80

_CHILD = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
resource.setrlimit(resource.RLIMIT_AS, (512 * 1024 * 1024,) * 2)
pattern, text = json.load(sys.stdin)
try:
    compiled = re.compile(pattern)
except MemoryError:
    raise
except Exception as error:
    answer = {"error": str(error)[:300]}
else:
    answer = {"found": text is not None and compiled.search(text) is not None}
print(json.dumps(answer))
"""
"""Reads a pattern and a text (null: compile only), and answers `{"error"}` or `{"found"}`."""


async def check_pattern(pattern: str, field: str, seconds: float = SECONDS) -> None:
    """Refuse a pattern that does not compile.

    Args:
        pattern: What the user wrote.
        field: The field or option that holds it, for the message.
        seconds: Wall time for the child process.

    Raises:
        CheckError: `BadPattern`, or `PatternTooSlow` where the limits were exceeded.
    """
    answer = await _run_child(pattern, None, seconds)
    if answer is None:
        raise CheckError(
            "PatternTooSlow",
            f"{field}: {_quoted(pattern)} could not be compiled within 1 s of CPU time and "
            "512 MiB: use fewer or smaller character ranges, above all with (?i)",
        )
    _require_compiled(answer, pattern, field)


async def search(pattern: str, text: str, seconds: float = SECONDS) -> bool:
    """Whether a pattern is found in a text.

    Raises:
        CheckError: `PatternTooSlow`, where it took more than 1 s of CPU time, 512 MiB or `seconds`
            of wall time; `BadPattern`, where it does not compile.
    """
    answer = await _run_child(pattern, text, seconds)
    if answer is None:
        raise CheckError(
            "PatternTooSlow",
            f"expect {_quoted(pattern)} could not be searched in an answer of {len(text)} "
            "characters within 1 s of CPU time: nested repetitions such as (a+)+ do that; write "
            "it simpler",
        )
    _require_compiled(answer, pattern, "expect")
    return answer.get("found") is True


def _require_compiled(answer: dict[str, object], pattern: str, field: str) -> None:
    if "error" in answer:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise CheckError(
            "BadPattern",
            f"{field}: {_quoted(pattern)} is not a regular expression of Python {version} "
            f"({answer['error']}): escape special characters with a backslash",
        )


async def _run_child(pattern: str, text: str | None, seconds: float) -> dict[str, object] | None:
    """The child's answer; None where it exceeded a limit."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-I",
        "-S",
        "-c",
        _CHILD,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(seconds):
            output, _ = await process.communicate(json.dumps([pattern, text]).encode())
    except TimeoutError:
        return None
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    try:
        answer = json.loads(output)
    except ValueError:
        return None
    return answer if isinstance(answer, dict) else None


def _quoted(pattern: str) -> str:
    shown = pattern[:_SHOWN_CHARACTERS]
    return repr(shown if shown == pattern else f"{shown}...")
