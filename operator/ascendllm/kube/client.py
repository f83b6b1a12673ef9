"""The API server over HTTP: the one implementation of `Cluster`.

The official client gives configuration, authentication (in the cluster and by kubeconfig, exec
plug-ins too), TLS and connections; requests are put together here from the table of kinds, so no
discovery is needed and no field is lost in a model.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from ascendllm import __version__
from ascendllm.desired.names import FIELD_MANAGER
from ascendllm.exceptions import ClusterError, SettingsError
from ascendllm.kube.decoding import LIST_LEVELS, decode, decode_in_turn
from ascendllm.kube.kinds import KINDS, path, without_foreign_fields
from ascendllm.kube.read_budget import become_large, fits, weight_of

__all__ = ["ApiServer", "connect"]

logger = logging.getLogger(__name__)

Object = Mapping[str, Any]
Objects = list[Object]
Observer = Callable[[str, int], None]

_TIMEOUT_SECONDS = 30
_LOG_BYTES = 256 * 1024
_OBJECTS = 100_000
_METADATA_PAGE = 200
_PAGE_BYTES = 2 * 1024 * 1024
"""A larger page is read again in smaller ones, down to one object."""
_OBJECT_MEMORY = 8 * 1024 * 1024
"""Of one object, or one page, once it is decoded. 1.5 MB of empty objects take 40 MB."""
_ANSWER_BYTES = 16 * 1024 * 1024
"""The largest answer: 1.5 MB of control characters take 9 MB as JSON."""
_CHUNK_BYTES = 64 * 1024
_IN_FLIGHT = 16  # each connection holds 300 KiB, most of it asyncio's buffer for TLS
_JSON = "application/json"
_METADATA_LIST = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml; charset=utf-8"

_NOT_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""Characters that stand in JSON as they are, and in YAML only escaped."""


def _ignore(method: str, status: int) -> None:
    """Take no notice of a request."""


async def connect(kubeconfig: str | None = None, *, observe: Observer = _ignore) -> ApiServer:
    """Connect by a kubeconfig, else as a pod of the cluster, else by the user's kubeconfig.

    Args:
        kubeconfig: A file.
        observe: Called for each request with its method and HTTP status (0: no answer).

    Raises:
        SettingsError: Nothing says where the API server is.
    """
    configuration = Configuration()
    try:
        if kubeconfig is None and "KUBERNETES_SERVICE_HOST" in os.environ:
            load_incluster_config(client_configuration=configuration)
        else:
            await load_kube_config(
                config_file=kubeconfig, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError) as error:
        raise SettingsError(
            f"no API server to talk to: {error}; run in a pod, or give --kubeconfig or KUBECONFIG"
        ) from error
    configuration.connection_pool_maxsize = _IN_FLIGHT
    if configuration.proxy is None:
        configuration.proxy = _proxy(configuration.host)
    # Left to aiohttp, the proxy and ~/.netrc are looked up at every request, each in a thread.
    # Its buffer of 2 MiB a connection is meant for watches, which this client does not open.
    configuration.client_session_kwargs = {"trust_env": False, "read_bufsize": _CHUNK_BYTES}
    return ApiServer(configuration, observe)


def _proxy(server: str) -> str | None:
    """The proxy that the environment names for a server, such as by HTTPS_PROXY."""
    url = urlsplit(server)
    if not url.hostname or proxy_bypass(url.hostname):
        return None
    return getproxies().get(url.scheme)


class ApiServer:
    """An API server and the connections to it."""

    def __init__(self, configuration: Configuration, observe: Observer = _ignore) -> None:
        self._configuration = configuration
        self._client = ApiClient(configuration=configuration)
        self._client.user_agent = f"ascendllm/{__version__}"
        self._host: str = configuration.host
        self._observe = observe

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def session(self, middleware: aiohttp.ClientMiddlewareType) -> aiohttp.ClientSession:
        """A session of its own with the same server as the same user, for another event loop.

        Its bearer token is the present one; whoever gets 401 asks for another session.

        Args:
            middleware: What its requests and answers pass through.
        """
        configuration = self._configuration
        headers = {"User-Agent": str(self._client.user_agent)}
        token = await configuration.get_api_key_with_prefix("BearerToken")
        if token:
            # In a cluster the key is "bearer TOKEN", from a kubeconfig "Bearer TOKEN".
            headers["Authorization"] = f"Bearer {str(token).split()[-1]}"
        return aiohttp.ClientSession(
            # As many connections as there are watches.
            connector=aiohttp.TCPConnector(limit=0, ssl=self._client.rest_client.ssl_context),
            headers=headers,
            middlewares=(middleware,),
            proxy=configuration.proxy,
        )

    @property
    def server(self) -> str:
        """The server's address."""
        return self._host

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The object, or None where there is none."""
        try:
            item = await self._request("GET", path(kind, namespace, name))
            return without_foreign_fields(item)
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def list(
        self,
        kind: str,
        namespace: str | None = None,
        selector: str = "",
        *,
        fields: str = "",
        metadata_only: bool = False,
        where: Callable[[Object], bool] = lambda _: True,
    ) -> tuple[Object, ...]:
        """All objects that a label and a field selector match, of one namespace or of all.

        Raises:
            ClusterError: As any request; `TooLarge` where the objects exceed the kind's limit.
        """
        kept: Objects = []
        size, most = 0, KINDS[kind].list_bytes
        seen = 0
        pages = self._pages(kind, namespace, selector, fields, metadata_only, held=True)
        async for items, weight in pages:
            seen += len(items)
            if seen > _OBJECTS:
                raise ClusterError(
                    0, "TooMany", f"there are more than {_OBJECTS} objects of {kind}"
                )
            chosen = [item for item in items if where(item)]
            kept += chosen
            size += weight * len(chosen) // max(1, len(items))
            if size > most:
                raise ClusterError(
                    0,
                    "TooLarge",
                    f"the objects of kind {kind} with the label {selector or 'any'} in namespace "
                    f"{namespace or 'any'} take more than {most // 1024 // 1024} MiB of memory: "
                    "delete those that are not the operator's",
                )
        return tuple(kept)

    async def each(
        self,
        kind: str,
        namespace: str | None = None,
        selector: str = "",
        *,
        fields: str = "",
        metadata_only: bool = False,
    ) -> AsyncIterator[Object]:
        """The same objects one by one, of any number: one page is in memory at a time."""
        pages = self._pages(kind, namespace, selector, fields, metadata_only, held=False)
        async for items, _ in pages:
            for item in items:
                yield item

    async def _pages(
        self,
        kind: str,
        namespace: str | None,
        selector: str,
        fields: str,
        metadata_only: bool,
        *,
        held: bool,
    ) -> AsyncIterator[tuple[Objects, int]]:
        """The pages of a list, each with the memory that it takes.

        A page that is large is read again in smaller ones. An object that is large by itself is
        left out, with a warning in the log.

        Args:
            kind: The objects' kind.
            namespace: As of `list`.
            selector: As of `list`.
            fields: As of `list`.
            metadata_only: As of `list`.
            held: Whether the caller keeps the objects.
        """
        about = KINDS[kind]
        where = path(kind, namespace)
        accept = _METADATA_LIST if metadata_only else _JSON
        levels = LIST_LEVELS if metadata_only else None
        query = {"labelSelector": selector} if selector else {}
        query |= {"fieldSelector": fields} if fields else {}
        most = limit = _METADATA_PAGE if metadata_only else about.page
        while True:
            query["limit"] = str(limit)
            try:
                text = await self._send(
                    "GET",
                    where,
                    query,
                    accept=accept,
                    most=_PAGE_BYTES if limit > 1 else _ANSWER_BYTES,
                )
                weight = len(text) if metadata_only else weight_of(text)
                too_large = weight > _OBJECT_MEMORY
            except _AnswerTooLargeError:
                if limit == 1:
                    raise
                too_large = True
            if too_large and limit > 1:
                limit = max(1, limit // 4)
                continue
            if held and not too_large and not fits(weight):
                # What was read is dropped before the pass waits, and read again.
                del text
                await become_large()
                continue
            page = await _decoded(where, text, LIST_LEVELS if too_large else levels)
            # The items of a list come without kind and apiVersion, which what is applied has.
            items: Objects = [
                about.listed(item) | {"kind": kind} for item in page.get("items") or []
            ]
            following = (page.get("metadata") or {}).get("continue")
            del page, text
            if too_large:
                for item in items:
                    logger.warning("%s is left out: it is too large", _place(item))
                items = []
            yield items, weight
            if not following:
                return
            query["continue"] = following
            limit = min(most, 2 * limit)

    async def log(
        self, namespace: str, pod: str, container: str, *, lines: int, previous: bool = False
    ) -> str:
        """The last lines that a container wrote, or the one before it of the same pod."""
        query = {
            "container": container,
            "tailLines": str(lines),
            "limitBytes": str(_LOG_BYTES),
            **({"previous": "true"} if previous else {}),
        }
        text = await self._send("GET", path("Pod", namespace, pod) + "/log", query, accept="*/*")
        return text.decode(errors="replace")

    async def apply(self, item: Object, manager: str = FIELD_MANAGER) -> Object:
        """Server-side apply, as owner of the given fields; a shared object has several."""
        return await self._apply(item, "", manager)

    async def merge(self, kind: str, namespace: str, name: str, patch: Object) -> Object:
        """Merge patch: lists are replaced whole."""
        query = {"fieldManager": FIELD_MANAGER}
        return await self._request("PATCH", path(kind, namespace, name), query, patch, _MERGE)

    async def apply_status(self, item: Object) -> Object:
        """Server-side apply of an object's status."""
        return await self._apply(item, "/status")

    async def create(self, item: Object) -> Object:
        """Create; a `ClusterError` of reason AlreadyExists where it exists."""
        where = path(item["kind"], item["metadata"]["namespace"])
        return await self._request("POST", where, {"fieldManager": FIELD_MANAGER}, item)

    async def replace(self, item: Object) -> Object:
        """Replace; a `ClusterError` of reason Conflict where `resourceVersion` has moved on."""
        metadata = item["metadata"]
        where = path(item["kind"], metadata["namespace"], metadata["name"])
        return await self._request("PUT", where, {"fieldManager": FIELD_MANAGER}, item)

    async def delete(
        self,
        kind: str,
        namespace: str,
        name: str,
        uid: str,
        *,
        grace_seconds: int | None = None,
        version: str | None = None,
    ) -> None:
        """Delete, dependents in the background; nothing where it is gone or another by now.

        Args:
            kind: The object's kind.
            namespace: Its namespace.
            name: Its name.
            uid: What tells it from another of that name.
            grace_seconds: A pod's time to end; its own when None.
            version: Its resourceVersion, where it may not have changed either.
        """
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": {"uid": uid, **({"resourceVersion": version} if version else {})},
            **({"gracePeriodSeconds": grace_seconds} if grace_seconds is not None else {}),
        }
        try:
            await self._request("DELETE", path(kind, namespace, name), body=options)
        except ClusterError as error:
            if error.status not in (404, 409):
                raise

    async def _apply(self, item: Object, subresource: str, manager: str = FIELD_MANAGER) -> Object:
        metadata = item["metadata"]
        where = path(item["kind"], metadata["namespace"], metadata["name"]) + subresource
        query = {"fieldManager": manager, "force": "true"}
        return await self._request("PATCH", where, query, _yaml(item), _APPLY)

    async def _request(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Object | bytes | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
    ) -> dict[str, Any]:
        text = await self._send(method, where, query, body, content_type, accept)
        return await _decoded(f"{method} {where}", text)

    async def _send(
        self,
        method: str,
        where: str,
        query: Mapping[str, str] | None = None,
        body: Object | bytes | None = None,
        content_type: str = _JSON,
        accept: str = _JSON,
        most: int = _ANSWER_BYTES,
    ) -> bytes:
        headers = {
            "Accept": accept,
            "Content-Type": content_type,
            "User-Agent": self._client.user_agent,
        }
        url = self._host + where + (f"?{urlencode(query)}" if query else "")
        try:
            await self._client.update_params_for_auth(
                headers, [], ["BearerToken"], where, method, body
            )
            called = await self._client.call_api(
                method, url, headers, body, _request_timeout=_TIMEOUT_SECONDS
            )
            response: aiohttp.ClientResponse = called.response
            text = await _read(response, most, f"{method} {where}")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            self._observe(method, 0)
            raise ClusterError(
                0, "", f"{method} {where}: {error or type(error).__name__}"
            ) from error
        self._observe(method, response.status)
        if response.status >= 400:
            value = _status_of(text)
            raise ClusterError(
                response.status,
                str(value.get("reason", "")),
                f"{method} {where}: {value.get('message') or repr(text[:200])}",
            )
        return text

    async def __aenter__(self) -> ApiServer:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _yaml(item: Object) -> bytes:
    """JSON that is YAML as well, which is what the API server reads an apply as.

    JSON writes a character beyond U+FFFF as the escapes of two surrogates, and those are no
    characters in YAML. Half a pair is none anywhere.
    """
    text = json.dumps(item, ensure_ascii=False, allow_nan=False)
    return _NOT_YAML.sub(_escaped, text).encode()


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return "\\ufffd" if 0xD800 <= code <= 0xDFFF else f"\\u{code:04x}"


class _AnswerTooLargeError(ClusterError):
    """An answer was not read to its end."""


async def _read(response: aiohttp.ClientResponse, most: int, what: str) -> bytes:
    """The body of an answer.

    Raises:
        _AnswerTooLargeError: It has more than `most` bytes.
    """
    body = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
        body += chunk
        if len(body) > most:
            response.close()
            raise _AnswerTooLargeError(
                0, "TooLarge", f"{what}: the answer has more than {most // 1024 // 1024} MiB"
            )
    return bytes(body)


async def _decoded(what: str, text: bytes, levels: int | None = None) -> dict[str, Any]:
    """The object of an answer that reported success.

    Raises:
        ClusterError: It is not a JSON object, such as the page of a proxy: it must not be taken for
            an empty list.
    """
    try:
        value = await decode_in_turn(text, levels)
    except ValueError as error:
        raise ClusterError(0, "BadAnswer", f"{what}: the answer is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise ClusterError(0, "BadAnswer", f"{what}: the answer is not a JSON object")
    return value


def _place(item: Object) -> str:
    metadata = item["metadata"]
    return f"{item['kind']} {metadata.get('namespace', '')}/{metadata.get('name', '')}"


def _status_of(text: bytes) -> dict[str, Any]:
    """The Status object of an answer that reported a failure; {} where it is something else."""
    try:
        value = decode(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
