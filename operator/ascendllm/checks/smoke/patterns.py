"""Regular expressions of strangers, searched within bounds.

Python's `re` can take exponential time and can't be interrupted from within. So a search runs in a
process of its own, with limits on CPU time, memory and wall time, and is killed at the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import sys

from ascendllm.exceptions import CheckError, SpecError

__all__ = ["PATTERN_CHARACTERS", "check_pattern", "search"]

PATTERN_CHARACTERS = 256
SECONDS = 20.0
"""Wall time; a process starts in 30 ms, but a loaded machine can take long."""

_CHILD = """
import json, re, resource, sys
resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
resource.setrlimit(resource.RLIMIT_AS, (512 * 1024 * 1024,) * 2)
pattern, text = json.load(sys.stdin)
print(re.search(pattern, text) is not None)
"""


def check_pattern(pattern: str, where: str) -> None:
    """Refuse what is no regular expression.

    Raises:
        SpecError: `BadPattern`.
    """
    if len(pattern) > PATTERN_CHARACTERS:
        raise SpecError(
            "BadPattern",
            f"{where}: {len(pattern)} characters are more than {PATTERN_CHARACTERS}; shorten it",
        )
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise SpecError(
            "BadPattern", f"{where}: {pattern!r:.80} is no regular expression: {error}"
        ) from None


async def search(pattern: str, text: str) -> bool:
    """Whether a pattern is found in a text.

    Raises:
        CheckError: `PatternTooSlow`: it took more than 1 s of CPU time, 512 MiB, or `SECONDS`.
    """
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
        async with asyncio.timeout(SECONDS):
            told, _ = await process.communicate(json.dumps([pattern, text]).encode())
    except TimeoutError:
        told = b""
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if told.strip() not in (b"True", b"False"):
        raise CheckError(
            "PatternTooSlow",
            f"expect {pattern!r:.80} could not be searched in an answer of {len(text)} characters "
            "within 1 s of CPU time: nested repetitions such as (a+)+ do that; write it simpler",
        )
    return told.strip() == b"True"
