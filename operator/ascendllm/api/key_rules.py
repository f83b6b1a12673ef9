"""A rule between service.apiKeySecret and runtime.env: a key has one place."""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.runtime import Runtime
from ascendllm.api.scalars import cel
from ascendllm.api.service import Service

__all__ = ["API_KEY_VARIABLE", "KEY_RULES", "key_problems"]

API_KEY_VARIABLE = "VLLM_API_KEY"
"""What vLLM reads its key from, where no option gives one."""

_TWO_KEYS = (
    f"{API_KEY_VARIABLE} of runtime.env and service.apiKeySecret exclude each other: remove the "
    "variable, since all who may read the resource read it too"
)

KEY_RULES = (
    cel(
        "!has(self.service.apiKeySecret) || !has(self.runtime.env) || "
        f"!('{API_KEY_VARIABLE}' in self.runtime.env)",
        _TWO_KEYS,
        path=".runtime.env",
    ),
)


def key_problems(runtime: Runtime, service: Service) -> Iterator[str]:
    """What gives vLLM two keys, with the remedy."""
    if service.api_key_secret is not None and API_KEY_VARIABLE in (runtime.env or {}):
        yield f"runtime.env: {_TWO_KEYS}"
