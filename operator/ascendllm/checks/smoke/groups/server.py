"""1. The server is up, says its version, and serves the wanted name."""

from __future__ import annotations

from ascendllm.checks.endpoint import error_detail, json_object, read_models, refusal
from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import WrongError

__all__ = ["health", "models", "version"]


async def health(context: Context) -> None:
    """GET /health: 200; it is 503 where the engine is dead."""
    answer = await context.http.get("/health", context.first_contact)
    if answer.status != 200:
        raise WrongError("HTTP 200", f"HTTP {answer.status}")


async def version(context: Context) -> None:
    """GET /version: vLLM's own version."""
    answer = await context.http.get("/version")
    if answer.status != 200:
        raise WrongError("HTTP 200", f"HTTP {answer.status}: {error_detail(answer.body)}")
    found = json_object(answer.body, answer.what).get("version")
    if not isinstance(found, str) or not found:
        raise WrongError('{"version": "…"}', repr(answer.body[:80]))
    context.version = found[:100]


async def models(context: Context) -> None:
    """GET /v1/models: the served name and its context."""
    endpoint = context.http.endpoint
    answer = await context.http.get("/v1/models")
    if answer.status != 200:
        raise refusal(answer.what, answer.status, answer.body, endpoint)
    facts = read_models(json_object(answer.body, answer.what), endpoint)
    context.max_model_len = facts.max_model_len
