"""The error responses of the server, in vLLM's format.

Source: vllm 0.18.0, `entrypoints/utils.py` (create_error_response), `exceptions.py`,
`entrypoints/openai/server_utils.py`.
"""

from __future__ import annotations

import json

from aiohttp import web

__all__ = [
    "ApiError",
    "PlainError",
    "answer",
    "encode_json",
    "error_body",
    "malformed",
    "not_found",
    "server_error",
    "with_extras",
]

encode_json = json.JSONEncoder(separators=(",", ":")).encode
"""Encode as compact JSON, as FastAPI does."""


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON response whose content type has no charset, as in FastAPI."""
    kind = {"Content-Type": "application/json", **(headers or {})}
    return web.Response(body=encode_json(body).encode(), status=status, headers=kind)


class ApiError(Exception):
    """An error with the response body `{"error": {"message", "type", "param", "code"}}`.

    Args:
        message: What is wrong.
        status: The HTTP status, which is also the `code`.
        kind: The `type`, such as `BadRequestError`.
        param: The invalid field of the request.
        value: Appended to the message, as in vLLM's validation errors.
        closes: Whether the connection is closed after the response, without `Connection: close`.
            This happens wherever vLLM 0.18 raises the error instead of returning it: Starlette
            raises it again after its handler, and uvicorn then closes the transport. If not set,
            it applies to every `BadRequestError`.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "BadRequestError",
        param: str | None = None,
        value: object = None,
        closes: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.message = with_extras(message, param, value) if value is not None else message
        self.status = status
        self.kind = kind
        self.param = param
        self.closes = kind == "BadRequestError" if closes is None else closes

    def body(self) -> dict[str, object]:
        """The JSON of the response."""
        return error_body(self.message, self.kind, self.status, self.param)

    def response(self, headers: dict[str, str] | None = None) -> web.Response:
        """The whole response."""
        return answer(self.body(), self.status, headers)


class PlainError(ApiError):
    """An error of FastAPI itself with the response body `{"detail": message}`."""

    def __init__(self, message: str) -> None:
        super().__init__(message, closes=False)

    def body(self) -> dict[str, object]:
        """The JSON of the response."""
        return {"detail": self.message}


def with_extras(message: str, parameter: str | None, value: object = None) -> str:
    """The text of vLLM's own validation errors (`exceptions.py`, VLLMValidationError)."""
    extras = [f"parameter={parameter}"] if parameter is not None else []
    extras += [f"value={value}"] if value is not None else []
    return f"{message} ({', '.join(extras)})" if extras else message


def error_body(message: str, kind: str, status: int, param: str | None = None) -> dict[str, object]:
    """Build `{"error": {…}}` with vLLM's four keys."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def malformed(message: str, param: str | None = None) -> ApiError:
    """The error for a body that does not fit the request's model, with FastAPI's `type`."""
    return ApiError(message, kind="Bad Request", param=param)


def not_found(model: str) -> ApiError:
    """The error for a request for a model that is not served."""
    return ApiError(
        f"The model `{model}` does not exist.", status=404, kind="NotFoundError", param="model"
    )


def server_error(message: str) -> ApiError:
    """The error for a failure of the engine."""
    return ApiError(message, status=500, kind="InternalServerError")
