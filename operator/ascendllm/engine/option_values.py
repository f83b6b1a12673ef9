"""The types that vLLM gives to the values of its options, and how each reads a text.

Source: vllm 0.18.0, `vllm/engine/arg_utils.py` (`_compute_kwargs`, `optional_type`, `parse_type`,
`human_readable_int`, `union_dict_and_str`), `vllm/entrypoints/openai/cli_args.py`, and for the
values of dotted keys `vllm/utils/argparse_utils.py`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

__all__ = ["TYPES", "BadValueError", "convert", "is_json", "json_or_text"]


class BadValueError(ValueError):
    """A value does not have its option's type; the text is what vLLM prints behind the option."""


_DECIMAL = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_BINARY = {"K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def _integer(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadValueError(f"invalid int value: {text!r}") from None


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadValueError(f"invalid float value: {text!r}") from None


def _human_integer(text: str, name: str = "human_readable_int") -> int:
    """`1k` is 1,000, `1K` is 1,024, `25.6k` is 25,600; no decimals before a binary suffix."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kKmMgGtT])", text.strip())
    if match is None:
        try:
            return int(text)
        except ValueError:
            raise BadValueError(f"invalid {name} value: {text!r}") from None
    number, suffix = match.groups()
    if suffix in _DECIMAL:
        return int(float(number) * _DECIMAL[suffix])
    if "." in number:
        raise BadValueError(
            f"Decimals are not allowed with binary suffixes like {suffix}. "
            f"Did you mean to use {number}{suffix.lower()} instead?"
        )
    return int(number) * _BINARY[suffix]


def _human_integer_or_auto(text: str) -> int:
    stripped = text.strip()
    if stripped == "-1" or stripped.lower() == "auto":
        return -1
    return _human_integer(stripped, "human_readable_int_or_auto")


def _json(text: str) -> object:
    try:
        value: object = json.loads(text)
    except ValueError:
        raise BadValueError(f"Value {text} cannot be converted to JSON.") from None
    return value


def _object(text: str) -> object:
    value = _json(text)
    if not isinstance(value, dict):
        raise BadValueError(f"Value {text} is no JSON object.")
    return value


def _object_or_text(text: str) -> object:
    return _json(text) if re.match(r"(?s)^\s*{.*}\s*$", text) else text


def _lora(text: str) -> object:
    """`name=path`, or a JSON object with `name` and `path`."""
    if text == "":
        return None
    if "=" in text and "," not in text:
        name, _, path = text.partition("=")
        if "=" in path:
            raise BadValueError(f"Invalid form for --lora-modules: {text}: one `=` at most")
        return {"name": name, "path": path}
    try:
        value = json.loads(text)
    except ValueError:
        raise BadValueError(f"Invalid JSON format for --lora-modules: {text}") from None
    if not isinstance(value, dict) or not {"name", "path"} <= value.keys():
        raise BadValueError(f"Invalid fields for --lora-modules: {text}: name and path are needed")
    return value


def _lower_snake(text: str) -> str:
    return text.lower().replace("-", "_")


TYPES: dict[str, Callable[[str], object]] = {
    "str": str,
    "int": _integer,
    "float": _number,
    "human-int": _human_integer,
    "human-int-or-auto": _human_integer_or_auto,
    "json": _json,
    "object": _object,
    "dict-or-str": _object_or_text,
    "lower-snake": _lower_snake,
    "lora": _lora,
}
"""The converter of each type named in the data file; raises BadValueError."""

_JSON_TYPES = frozenset({"json", "object", "dict-or-str"})


def is_json(type_name: str) -> bool:
    """Whether an option of this type can be given key by key, as `--option.key=value`."""
    return type_name in _JSON_TYPES


def json_or_text(text: str) -> Any:
    """The value behind `--option.key=`: parsed as JSON if it is JSON, otherwise the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def convert(type_name: str, optional: bool, text: str) -> object:
    """Read one value.

    Args:
        type_name: A key of `TYPES`.
        optional: Whether an empty text and `None` mean no value (vLLM's `optional_type`).
        text: What stands on the command line.

    Raises:
        BadValueError: The text does not have the type.
    """
    if optional and text in ("", "None") and type_name != "lora":
        return None
    try:
        return TYPES[type_name](text)
    except BadValueError as error:
        if optional and type_name in ("int", "float"):
            message = f"Value {text} cannot be converted to <class '{type_name}'>."
            raise BadValueError(message) from error
        raise
    except RecursionError:
        raise BadValueError(f"invalid {type_name} value: nested too deep") from None
