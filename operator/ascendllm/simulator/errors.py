"""The errors that the server answers, in vLLM's shape.

Source: vllm 0.18.0, `entrypoints/utils.py` (create_error_response), `exceptions.py`,
`entrypoints/openai/server_utils.py`.
"""

from __future__ import annotations

import json

from aiohttp import web

__all__ = [
    "ApiError",
    "answer",
    "encode_json",
    "error_body",
    "malformed",
    "not_found",
    "server_error",
]

encode_json = json.JSONEncoder(separators=(",", ":")).encode
"""Compact JSON, as FastAPI writes it."""


def answer(body: object, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.json_response(body, status=status, headers=headers, dumps=encode_json)


class ApiError(Exception):
    """A refusal: becomes `{"error": {"message", "type", "param", "code"}}`.

    Args:
        message: What is wrong.
        status: The HTTP status, which is also the `code`.
        kind: The `type`, such as `BadRequestError`.
        param: The request's field at fault.
        value: Appended to the message as vLLM's validation errors do.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        kind: str = "BadRequestError",
        param: str | None = None,
        value: object = None,
    ) -> None:
        super().__init__(message)
        extras = [f"parameter={param}"] if param and value is not None else []
        extras += [f"value={value}"] if value is not None else []
        self.message = f"{message} ({', '.join(extras)})" if extras else message
        self.status = status
        self.kind = kind
        self.param = param

    def body(self) -> dict[str, object]:
        """The JSON that is answered."""
        return error_body(self.message, self.kind, self.status, self.param)

    def response(self, headers: dict[str, str] | None = None) -> web.Response:
        """The whole answer."""
        return answer(self.body(), self.status, headers)


def error_body(message: str, kind: str, status: int, param: str | None = None) -> dict[str, object]:
    """`{"error": {…}}` with vLLM's four keys."""
    return {"error": {"message": message, "type": kind, "param": param, "code": status}}


def malformed(message: str, param: str | None = None) -> ApiError:
    """A body that does not fit the request's model: FastAPI's refusal has this `type`."""
    return ApiError(message, kind="Bad Request", param=param)


def not_found(model: str) -> ApiError:
    """A request for a model that is not served."""
    return ApiError(
        f"The model `{model}` does not exist.", status=404, kind="NotFoundError", param="model"
    )


def server_error(message: str) -> ApiError:
    """A failure of the engine."""
    return ApiError(message, status=500, kind="InternalServerError")
