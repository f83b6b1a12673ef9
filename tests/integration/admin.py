"""The administrator: requests that the operator never makes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kubernetes.aio.client import Configuration
from kubernetes.aio.config import load_kube_config

from ascendllm.exceptions import ClusterError
from ascendllm.kube.client import ApiServer
from ascendllm.kube.kinds import path

__all__ = ["Admin", "admin"]

Object = Mapping[str, Any]

_NAMESPACES = "/api/v1/namespaces"
_MERGE = "application/merge-patch+json"
_APPLY = "application/apply-patch+yaml; charset=utf-8"


class Admin(ApiServer):
    """The operator's client with the rest of the verbs; kubectl takes half a second a call."""

    async def get(self, kind: str, namespace: str | None, name: str) -> Object | None:
        """The whole object, other managers' managedFields included."""
        try:
            return await self._request("GET", path(kind, namespace, name))
        except ClusterError as error:
            if error.status == 404:
                return None
            raise

    async def kubectl_apply(self, item: Object) -> dict[str, Any]:
        """As `kubectl apply --server-side` does it: unknown fields are refused."""
        metadata = item["metadata"]
        query = {
            "fieldManager": "kubectl",
            "force": "true",
            "fieldValidation": "Strict",
        }
        where = path(item["kind"], metadata["namespace"], metadata["name"])
        body = json.dumps(item, ensure_ascii=False).encode()
        return dict(await self._request("PATCH", where, query, body, _APPLY))

    async def post(
        self, item: Object, *, dry_run: bool = False, strict: bool = True
    ) -> dict[str, Any]:
        """As `kubectl create` does it."""
        named = item["kind"] == "Namespace"
        where = _NAMESPACES if named else path(item["kind"], item["metadata"]["namespace"])
        query = {
            "fieldManager": "somebody",
            "fieldValidation": "Strict" if strict else "Ignore",
            **({"dryRun": "All"} if dry_run else {}),
        }
        return dict(await self._request("POST", where, query, item))

    async def edit(
        self,
        kind: str,
        namespace: str | None,
        name: str,
        change: Object,
        *,
        subresource: str = "",
        manager: str = "somebody",
    ) -> dict[str, Any]:
        """As `kubectl patch --type=merge` and `kubectl edit` do it."""
        where = path(kind, namespace, name) + (f"/{subresource}" if subresource else "")
        return dict(await self._request("PATCH", where, {"fieldManager": manager}, change, _MERGE))

    async def remove(self, kind: str, namespace: str | None, name: str) -> None:
        """Delete at once, as if a kubelet had ended the pod; dependents in the background."""
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "gracePeriodSeconds": 0,
            "propagationPolicy": "Background",
        }
        await self._request("DELETE", path(kind, namespace, name), None, options)


async def admin(kubeconfig: Path) -> Admin:
    """Connect; to be closed by the caller."""
    configuration = Configuration()
    await load_kube_config(
        config_file=str(kubeconfig), client_configuration=configuration, persist_config=False
    )
    return Admin(configuration)
