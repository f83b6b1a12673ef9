"""The few calls to an API server that are made without kubectl, which takes half a second each."""

from __future__ import annotations

import http
import http.client
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cluster.errors import ClusterError
from cluster.pki import KeyPair

__all__ = ["MERGE_PATCH", "ApiClient", "ApiError"]

MERGE_PATCH = "application/merge-patch+json"

_TIMEOUT = 10.0
_PAUSE = 0.05


class ApiError(ClusterError):
    """The API server answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class ApiClient:
    """An HTTPS client with a client certificate, past any proxy that the environment names."""

    def __init__(self, server: str, ca: Path, user: KeyPair) -> None:
        self._address = server.removeprefix("https://")
        self._context = ssl.create_default_context(cafile=str(ca))
        self._context.load_cert_chain(user.certificate, user.key)

    def request(
        self, method: str, path: str, body: Any = None, content_type: str = "application/json"
    ) -> str:
        """Make one request and return the body of its answer.

        Raises:
            ApiError: The server answered with an error.
            ClusterError: No answer came.
        """
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": content_type, "Accept": "application/json"}
        connection = http.client.HTTPSConnection(
            self._address, timeout=_TIMEOUT, context=self._context
        )
        try:
            connection.request(method, path, content, headers)
            response = connection.getresponse()
            answer = response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            raise ClusterError(f"{method} https://{self._address}{path}: {error}") from error
        finally:
            connection.close()
        if response.status >= http.HTTPStatus.BAD_REQUEST:
            raise ApiError(response.status, f"{method} {path}: {response.status} {answer}")
        return answer

    def get(self, path: str) -> dict[str, Any]:
        """Read one object, or a list of them."""
        return dict(json.loads(self.request("GET", path)))

    def create(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """Create an object in the collection at `path` and return it."""
        return dict(json.loads(self.request("POST", path, body)))

    def wait_for(self, path: str, seconds: float, check: Callable[[], None] = lambda: None) -> None:
        """Wait until a GET of `path` is answered with success.

        Args:
            path: What is asked for.
            seconds: How long at most.
            check: Called between two tries; raises when there is nothing to wait for any more.

        Raises:
            ClusterError: It was not within `seconds`; the message holds the last answer.
        """
        deadline = time.monotonic() + seconds
        while True:
            try:
                self.request("GET", path)
            except ClusterError as error:
                check()
                if time.monotonic() > deadline:
                    raise ClusterError(f"not ready after {seconds:.0f} s: {error}") from error
                time.sleep(_PAUSE)
            else:
                return
