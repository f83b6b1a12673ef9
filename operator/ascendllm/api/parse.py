"""From an object as the API server, or a file, has it to a spec."""

from __future__ import annotations

import re
import reprlib
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from ascendllm.api.limits import require_within_limits
from ascendllm.api.spec import Spec
from ascendllm.exceptions import SpecError

__all__ = ["NAME_LENGTH", "parse_spec", "require_name"]

NAME_LENGTH = 36
"""The longest name of a resource: the names of its objects are made from it."""

_PROBLEMS_SHOWN = 5
_PATH_SHOWN = 200


def parse_spec(resource: Mapping[str, Any]) -> Spec:
    """The spec with its defaults.

    Raises:
        SpecError: `InvalidSpec` or `InvalidEngine`, naming each field, its value and its rule.
    """
    fields = resource.get("spec") or {}
    require_within_limits(fields)
    try:
        return Spec.model_validate(fields)
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        shown = [
            f"{'.'.join(['spec', *(str(part) for part in problem['loc'])])[:_PATH_SHOWN]}: "
            f"{problem['msg']}{_seen(problem)}"
            for problem in problems[:_PROBLEMS_SHOWN]
        ]
        more = len(problems) - _PROBLEMS_SHOWN
        text = "; ".join(shown) + (f"; and {more} more" if more > 0 else "")
        raise SpecError("InvalidSpec", f"the spec cannot be read: {text}") from None


def _seen(problem: ErrorDetails) -> str:
    """The value, unless it is not there or is a whole block, whose rule names the field itself."""
    value = problem["input"]
    if problem["type"] == "missing" or isinstance(value, Mapping):
        return ""
    return f", not {reprlib.repr(value):.80}"


def require_name(name: object) -> str:
    """The name of a resource, held to the rule that the CRD has too.

    Raises:
        SpecError: `InvalidName`.
    """
    if (
        isinstance(name, str)
        and len(name) <= NAME_LENGTH
        and re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", name)
    ):
        return name
    raise SpecError(
        "InvalidName",
        f"metadata.name {name!r}: must start with a letter, hold only lower-case letters, digits "
        f"and '-', end with a letter or digit, and have at most {NAME_LENGTH} characters",
    )
