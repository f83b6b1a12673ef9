"""The bounds of a spec that its schema cannot express.

The API server admits 1.5 MB: of any depth and content in a field without a schema, and hundreds of
thousands of values in a list of lists. They are measured here, without recursion and with bounded
work, before anything else walks them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ascendllm.exceptions import SpecError

__all__ = [
    "CONFIG_BYTES",
    "MAX_ARGUMENTS",
    "MAX_CONTAINERS",
    "MAX_LEVELS",
    "MAX_VALUES",
    "require_within_limits",
]

MAX_LEVELS = 32
"""Levels of objects and lists in a field without a schema; a flat object has one."""

MAX_CONTAINERS = 4096
"""Objects and lists in such a field; no setting of vLLM has a hundred."""

CONFIG_BYTES = 64 * 1024
"""Each field without a schema becomes one argument, and Linux limits those to 128 KiB."""

MAX_ARGUMENTS = 1024
"""Elements of all lists in `config`; each of them becomes an argument of its own."""

MAX_VALUES = 20_000
"""Elements and entries of all fields with a schema: pydantic takes 2 ms for that many."""

_MEASURED = (str, dict, list)

_FREE_FORM = ("additionalConfig", "compilationConfig", "config")
"""Fields of `spec.engine` that have no schema."""


def require_within_limits(spec: Any) -> None:
    """Checks a spec as the API server, or a file, has it.

    Args:
        spec: The resource's `spec`, of any type and content.

    Raises:
        SpecError: `InvalidEngine` or `InvalidSpec`, naming the field, the rule and the remedy.
    """
    if not isinstance(spec, dict):
        return
    engine = spec.get("engine")
    if isinstance(engine, dict):
        for field in _FREE_FORM:
            problem = _config_problem(engine.get(field))
            if problem is not None:
                raise SpecError("InvalidEngine", f"spec.engine.{field} {problem}")
        _require_few_arguments(engine.get("config"))
    left = MAX_VALUES
    for field, value in _fields(spec):
        left -= _count(value, left)
        if left <= 0:
            raise SpecError(
                "InvalidSpec",
                f"{field}: the spec holds more than {MAX_VALUES} values up to this field: shorten "
                "its lists",
            )


def _fields(spec: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """The fields below the blocks of a spec, with their paths; without those of no schema."""
    for block, value in spec.items():
        if isinstance(value, dict):
            for field, item in value.items():
                if block != "engine" or field not in _FREE_FORM:
                    yield f"spec.{block}.{field}"[:200], item
        else:
            yield f"spec.{block}"[:200], value


def _config_problem(value: Any) -> str | None:
    """Which limit a value exceeds; its size as JSON is counted from below.

    It stops at the limit, so that its work is bounded by `CONFIG_BYTES`.
    """
    size = containers = 0
    waiting = [([value], 0)]
    while waiting:
        items, level = waiting.pop()
        # Numbers are counted by the commas between them.
        for item in [item for item in items if isinstance(item, _MEASURED)]:
            if isinstance(item, str):
                size += len(item) + 2
            else:
                if level == MAX_LEVELS:
                    return (
                        f"is nested more than {MAX_LEVELS} levels deep, and no setting of vLLM is: "
                        "flatten it, or remove what was pasted into it by mistake"
                    )
                containers += 1
                if containers > MAX_CONTAINERS:
                    return f"has more than {MAX_CONTAINERS} objects and lists: leave some out"
                # Each element has a comma; each key quotation marks and a colon too.
                size += len(item) if isinstance(item, list) else 4 * len(item)
                if size <= CONFIG_BYTES:
                    waiting.append((_children(item), level + 1))
                    size += 0 if isinstance(item, list) else sum(map(len, item))
            if size > CONFIG_BYTES:
                return (
                    f"has more than {CONFIG_BYTES} bytes of JSON, the most that can be given: "
                    "leave out what is at its default"
                )
    return None


def _require_few_arguments(config: Any) -> None:
    if not isinstance(config, dict):
        return
    lists = {key: len(value) for key, value in config.items() if isinstance(value, list)}
    if sum(lists.values()) > MAX_ARGUMENTS:
        longest = max(lists, key=lambda key: lists[key])
        raise SpecError(
            "InvalidEngine",
            f"spec.engine.config: its lists have {sum(lists.values())} elements, of which "
            f"{longest:.80} has {lists[longest]}; each becomes an argument, and at most "
            f"{MAX_ARGUMENTS} are taken: shorten it",
        )


def _children(item: dict[str, Any] | list[Any]) -> list[Any]:
    return item if isinstance(item, list) else list(item.values())


def _count(value: Any, most: int) -> int:
    """The number of values in a value, itself included; it stops beyond `most`."""
    found = 1
    waiting = [value]
    while waiting and found <= most:
        item = waiting.pop()
        if isinstance(item, dict | list):
            found += len(item)
            if found <= most:
                waiting += _children(item)
    return found
