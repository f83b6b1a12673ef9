"""The server under test: its address, and what its bad answers mean.

Nothing here does HTTP: smoke speaks through httpx, the load paths through aiohttp, and both name
their failures by these functions.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from ascendllm.exceptions import CheckError, SpecError

__all__ = [
    "ANSWER_BYTES",
    "RETRYABLE",
    "Endpoint",
    "ServerFacts",
    "error_detail",
    "json_object",
    "parse_endpoint",
    "read_models",
    "refusal",
    "served_model",
    "unreachable",
]

ANSWER_BYTES = 8 * 1024 * 1024
"""The longest answer (not streamed) that is read; 20 log-probabilities take 2 KB."""

RETRYABLE = frozenset({429, 502, 503, 504})
"""Statuses that a healthy server can give under load or behind a proxy."""

KEY_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the server is and how it is asked.

    Args:
        root: The address without `/v1` and without a trailing slash.
        model: The served name.
        api_key: Sent as a bearer token; never shown.
    """

    root: str
    model: str
    api_key: str | None = field(default=None, repr=False)

    def url(self, path: str) -> str:
        """The address of a path such as `/v1/completions`."""
        return self.root + path

    @property
    def headers(self) -> dict[str, str]:
        """The headers of every request."""
        return {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """What the server says of itself at /v1/models.

    Args:
        max_model_len: The longest context in tokens; None where the server doesn't say.
    """

    max_model_len: int | None


def parse_endpoint(base_url: str, model: str, api_key_file: Path | None = None) -> Endpoint:
    """Read the options that name the server.

    Raises:
        SpecError: `BadBaseUrl`, `BadModel` or `BadApiKey`, naming the option and the remedy.
    """
    address = base_url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise _bad_url(base_url, str(error)) from None
    if parts.scheme not in ("http", "https") or not host:
        raise _bad_url(base_url, "it needs http:// or https:// and a host")
    if parts.query or parts.fragment or parts.username or parts.password:
        raise _bad_url(base_url, "it may hold no query, fragment or credentials")
    if not model.strip() or not model.isprintable():
        raise SpecError(
            "BadModel", f"--model {model!r}: give the served name, as /v1/models says it"
        )
    return Endpoint(address, model, _read_key(api_key_file) if api_key_file else None)


def json_object(body: bytes | str, what: str) -> dict[str, object]:
    """A JSON object out of a body.

    Raises:
        CheckError: `BadAnswer`, with the start of what came instead.
    """
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise CheckError("BadAnswer", f"{what} answered no JSON object but {_excerpt(body)}")
    return cast("dict[str, object]", data)


def served_model(answer: dict[str, object], endpoint: Endpoint, what: str) -> None:
    """Hold the model's name in an answer against the one that was asked for.

    Raises:
        CheckError: `WrongModel`, or `ErrorInAnswer`: HTTP 200 with an error and no model.
    """
    if answer.get("error") is not None and "model" not in answer:
        error = answer["error"]
        said = error.get("message") if isinstance(error, dict) else error
        raise CheckError(
            "ErrorInAnswer",
            f"{what} answered HTTP 200 with an error: {str(said)[:400]}; look at the server's log",
        )
    if answer.get("model") != endpoint.model:
        raise CheckError(
            "WrongModel",
            f"{what} answered as model {answer.get('model')!r}, not {endpoint.model!r}: another "
            "server is behind this address",
        )


def read_models(answer: Mapping[str, object], endpoint: Endpoint) -> ServerFacts:
    """Read /v1/models.

    Raises:
        CheckError: `BadAnswer` or `WrongModel`.
    """
    entries = answer.get("data")
    if not isinstance(entries, list):
        raise CheckError("BadAnswer", "GET /v1/models answered no list of models")
    served = {str(entry.get("id")): entry for entry in entries if isinstance(entry, dict)}
    if endpoint.model not in served:
        names = ", ".join(sorted(served))[:300] or "nothing"
        raise CheckError(
            "WrongModel",
            f"model {endpoint.model!r} is not served there, but {names}: --model must be the "
            "served name to the letter",
        )
    length = served[endpoint.model].get("max_model_len")
    return ServerFacts(length if isinstance(length, int) and length > 0 else None)


def error_detail(body: bytes | str) -> str:
    """The message of an error answer (`{"error": {"message": …}}`), or the start of the body."""
    try:
        data = json.loads(body)
        error = data.get("error", data) if isinstance(data, dict) else data
        message = error.get("message") if isinstance(error, dict) else None
    except (ValueError, RecursionError):
        message = None
    return message[:400] if isinstance(message, str) and message else _excerpt(body)


def refusal(what: str, status: int, body: bytes | str, endpoint: Endpoint) -> CheckError:
    """What an HTTP status other than 200 means; the shapes are those of vLLM 0.18.0."""
    detail = error_detail(body)
    if status in (401, 403):
        return CheckError(
            "Unauthorized", f"{what}: HTTP {status}: {detail}; give the key with --api-key-file"
        )
    if status == 404 and endpoint.model in detail:
        return CheckError(
            "WrongModel",
            f"{what}: HTTP 404: {detail}; --model must be the served name, as /v1/models says it",
        )
    if status == 404:
        return CheckError(
            "WrongServer", f"{what}: HTTP 404: {detail}; no OpenAI-compatible server of ours there"
        )
    if status == 429:
        return CheckError(
            "Throttled", f"{what}: HTTP 429: {detail}; lower --concurrency or lift the limit"
        )
    if status >= 500:
        return CheckError(
            "ServerError", f"{what}: HTTP {status}: {detail}; look at the server's log"
        )
    return CheckError("RequestRefused", f"{what}: HTTP {status}: {detail}")


def unreachable(what: str, error: BaseException) -> CheckError:
    """What a failed connection or a missed deadline means.

    Args:
        what: The request, such as `POST /v1/completions`.
        error: The exception of the HTTP library; timeouts are told by `TimeoutError` or by their
            class's name.
    """
    kind = type(error).__name__
    if isinstance(error, TimeoutError) or "Timeout" in kind:
        return CheckError(
            "ServerTimeout", f"{what}: no answer in time ({kind}); the server hangs or is too slow"
        )
    cause = " ".join(str(error).split())[:300] or kind
    return CheckError(
        "ServerUnreachable", f"{what}: {cause} ({kind}); is the server up, the address right?"
    )


def _read_key(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(KEY_BYTES + 1)
        key = raw.decode("ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SpecError("BadApiKey", f"--api-key-file {path}: can't be read: {error}") from None
    if not key or len(raw) > KEY_BYTES or any(c.isspace() or not c.isprintable() for c in key):
        raise SpecError("BadApiKey", f"--api-key-file {path}: must hold one key and nothing else")
    return key


def _bad_url(base_url: str, why: str) -> SpecError:
    return SpecError("BadBaseUrl", f"--base-url {base_url!r}: {why}, as http://host:8000/v1")


def _excerpt(body: bytes | str) -> str:
    text = body[:400].decode("utf-8", "replace") if isinstance(body, bytes) else body[:400]
    text = "".join(c if c.isprintable() else " " for c in text)
    return repr(" ".join(text.split())[:160]) if text.strip() else "nothing"
