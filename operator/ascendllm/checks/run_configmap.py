"""The sink of the jobs: checkpoint, progress and result in the run's own ConfigMap.

The operator made the ConfigMap before the job; the job's token can get and patch this one object.
Keys that are written: `progress.json`, `checkpoint`, `result.json`, the check's own texts
(`subjects.txt`, `answers.json`, `requests.json`), and what the shards of a bench tell each other
(`shard-0.json` …, which end with the result). `run.json` is the operator's and is never touched.
The result goes to the termination log first: it is the fallback where the API server stays away.
"""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import httpx

from ascendllm.checks.progress import RateMeter
from ascendllm.checks.result import (
    RESULT_BYTES,
    CheckResult,
    compact_json,
    read_result,
    terse,
)
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.sinks import Documents, Resume, Snapshot, warn
from ascendllm.exceptions import CheckError, ClusterError, SpecError

__all__ = ["ApiServer", "Patience", "RunConfigMap", "in_cluster"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TERMINATION_LOG = Path("/dev/termination-log")
CHECKPOINT_BYTES = 400 * 1024
RESULT_AND_TEXTS_BYTES = 256 * 1024
REQUESTS_BYTES = 640 * 1024
"""For `requests.json` alone: a bench has no checkpoint, which leaves this room in the MiB."""

ANSWER_BYTES = 4 * 1024 * 1024
REQUEST_SECONDS = 15.0
BACKOFF = RetryPolicy(attempts=0, first=0.5, longest=15.0)


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Where the API server is, and who we are.

    Args:
        url: Such as `https://10.96.0.1:443`.
        namespace: The pod's.
        token: The file of the token; read anew for each request, since the kubelet renews it.
        ca: The file of the authority's certificate; None for http.
    """

    url: str
    namespace: str
    token: Path
    ca: Path | None


@dataclass(frozen=True, slots=True)
class Patience:
    """How many seconds the API server may be away: at the start, while running, at the end."""

    start: float = 120.0
    running: float = 8.0
    end: float = 300.0


def in_cluster(folder: Path = SERVICE_ACCOUNT) -> ApiServer:
    """What the kubelet tells every pod.

    Raises:
        SpecError: `NotInCluster`.
    """
    host = os.environ.get("KUBERNETES_SERVICE_HOST", "")
    port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    try:
        namespace = (folder / "namespace").read_text(encoding="utf-8").strip()
    except OSError:
        namespace = ""
    if not host or not namespace:
        raise SpecError(
            "NotInCluster",
            "--run-configmap works inside a pod with a service account only: by hand use "
            "--checkpoint and --output",
        )
    address = f"[{host}]" if ":" in host else host
    return ApiServer(f"https://{address}:{port}", namespace, folder / "token", folder / "ca.crt")


class RunConfigMap:
    """One run's ConfigMap.

    Args:
        name: Its name, in the pod's namespace.
        server: The API server.
        patience: How long the API server may be away.
        termination_log: Written at the end where this file exists.
    """

    interval = 10.0

    def __init__(
        self,
        name: str,
        server: ApiServer,
        patience: Patience | None = None,
        termination_log: Path = TERMINATION_LOG,
    ) -> None:
        self._url = f"{server.url}/api/v1/namespaces/{server.namespace}/configmaps/{name}"
        self._server = server
        self._patience = patience or Patience()
        self._termination_log = termination_log
        self._meter = RateMeter()
        self.obsolete: tuple[str, ...] = ()
        """Keys that go when the result comes."""

    async def read(self) -> dict[str, str]:
        """All its texts.

        Raises:
            ClusterError: The API server refused, or stayed away for longer than the patience.
        """
        values = (await self._request("GET", None, self._patience.end)).get("data")
        held = values if isinstance(values, dict) else {}
        return {name: text for name, text in held.items() if isinstance(text, str)}

    async def write(self, data: Mapping[str, str | None]) -> None:
        """Set texts, or remove those that are None.

        Raises:
            ClusterError: As `read`.
        """
        await self._request("PATCH", {"data": dict(data)}, self._patience.end)

    async def resume(self) -> Resume:
        """The checkpoint or the result of an earlier pod of this run.

        A ConfigMap that can't be read is no reason to measure nothing: the check starts anew.
        """
        try:
            data = await self._request("GET", None, self._patience.start)
        except ClusterError as error:
            warn(f"the run's ConfigMap can't be read, starting anew: {error}")
            return Resume()
        values = data.get("data")
        values = values if isinstance(values, dict) else {}
        stored = values.get("result.json")
        if isinstance(stored, str):
            try:
                return Resume(result=read_result(stored))
            except CheckError as error:
                warn(f"result.json of an earlier attempt is dropped: {error}")
        checkpoint = values.get("checkpoint")
        return Resume(checkpoint=checkpoint if isinstance(checkpoint, str) else None)

    async def tell(self, snapshot: Snapshot) -> None:
        """Write progress and checkpoint; what fails now is written the next time."""
        await self._write({**self._running(snapshot)}, self._patience.running)

    async def leave(self, snapshot: Snapshot) -> None:
        """Write the last checkpoint."""
        await self.tell(snapshot)

    async def finish(self, result: CheckResult, documents: Documents) -> None:
        """Write the termination log, then the result, for as long as the patience lasts."""
        self._write_termination_log(result)
        await self._write(
            fitting(result, documents.texts) | dict.fromkeys(self.obsolete), self._patience.end
        )

    def _running(self, snapshot: Snapshot) -> dict[str, str]:
        progress = self._meter.look(time.monotonic(), snapshot)
        data = {"progress.json": compact_json(progress.to_json())}
        if snapshot.checkpoint is not None:
            checkpoint = snapshot.checkpoint()
            if len(checkpoint.encode()) <= CHECKPOINT_BYTES:
                data["checkpoint"] = checkpoint
            else:
                warn(f"the checkpoint is longer than {CHECKPOINT_BYTES} bytes and is not written")
        return data

    def _write_termination_log(self, result: CheckResult) -> None:
        if not self._termination_log.exists():
            return
        try:
            self._termination_log.write_text(terse(result), encoding="utf-8")
        except OSError as error:
            warn(f"{self._termination_log}: not written: {error}")

    async def _write(self, data: Mapping[str, str | None], patience: float) -> None:
        try:
            await self._request("PATCH", {"data": dict(data)}, patience)
        except ClusterError as error:
            warn(f"ConfigMap not written ({', '.join(data)}): {error}")

    async def _request(
        self, method: str, patch: Mapping[str, object] | None, patience: float
    ) -> dict[str, object]:
        """One request, tried again while that can help and `patience` seconds last.

        Raises:
            ClusterError: The API server refused, or stayed away.
        """
        body = compact_json(patch).encode() if patch is not None else None
        deadline = time.monotonic() + patience
        attempt = 0
        async with httpx.AsyncClient(
            verify=_trust(self._server), timeout=REQUEST_SECONDS, trust_env=False
        ) as client:
            while True:
                attempt += 1
                try:
                    async with asyncio.timeout(max(0.1, deadline - time.monotonic())):
                        return await self._once(client, method, body)
                except TimeoutError:
                    failure = ClusterError(0, "Timeout", "the API server did not answer in time")
                except httpx.HTTPError as error:
                    failure = ClusterError(0, "", f"{type(error).__name__}: {error}")
                except ClusterError as error:
                    failure = error
                    if not _worth_retrying(error.status):
                        raise
                pause = BACKOFF.pause(min(attempt, 10))
                if time.monotonic() + pause >= deadline:
                    raise failure
                await asyncio.sleep(pause)

    async def _once(
        self, client: httpx.AsyncClient, method: str, body: bytes | None
    ) -> dict[str, object]:
        headers = {"Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/merge-patch+json"
        try:
            token = self._server.token.read_text(encoding="ascii").strip()
            headers["Authorization"] = f"Bearer {token}"
        except (OSError, UnicodeDecodeError) as error:
            raise ClusterError(0, "NoToken", f"{self._server.token}: {error}") from None
        async with client.stream(method, self._url, content=body, headers=headers) as answer:
            raw = b""
            async for part in answer.aiter_bytes():
                raw += part
                if len(raw) > ANSWER_BYTES:
                    raise ClusterError(413, "TooLarge", f"answer longer than {ANSWER_BYTES} bytes")
        data = _object(raw)
        if answer.status_code != 200:
            reason, message = data.get("reason", ""), data.get("message", answer.reason_phrase)
            raise ClusterError(answer.status_code, str(reason), str(message)[:400])
        return data


def fitting(result: CheckResult, texts: Mapping[str, str]) -> dict[str, str | None]:
    """The keys of a finished run within their bounds.

    A result that is too long loses its lists and objects; a text that is too long is left out,
    the longest first: the verdict is never lost to its appendix.
    """
    text = compact_json(result.to_json())
    if len(text.encode()) > RESULT_BYTES:
        warn(f"result.json is longer than {RESULT_BYTES} bytes: its lists are left out")
        text = terse(result, RESULT_BYTES)
    data: dict[str, str | None] = {"result.json": text}
    room = RESULT_AND_TEXTS_BYTES - len(text.encode())
    for name, value in sorted(texts.items(), key=lambda item: len(item[1])):
        size = len(value.encode())
        if name == "requests.json" and size <= REQUESTS_BYTES:
            data[name] = value
        elif size <= room:
            data[name] = value
            room -= size
        else:
            warn(f"{name} of {size} bytes does not fit into the run's ConfigMap: left out")
    return data


def _worth_retrying(status: int) -> bool:
    """401 and 403 too: the token may just be renewed, the role just be made."""
    return status in (0, 401, 403, 408, 409, 429) or status >= 500


def _trust(server: ApiServer) -> ssl.SSLContext | bool:
    if server.ca is None:
        return False
    try:
        return ssl.create_default_context(cafile=str(server.ca))
    except (OSError, ssl.SSLError) as error:
        raise ClusterError(0, "BadAuthority", f"{server.ca}: {error}") from None


def _object(raw: bytes) -> dict[str, object]:
    try:
        data = json.loads(raw)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, object]", data) if isinstance(data, dict) else {}
