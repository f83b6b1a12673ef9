"""The Services: one for clients, one headless for each revision, and the pods' ServiceAccount."""

from __future__ import annotations

from typing import Any

from ascendllm.api.service import Service
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.engine.arguments import PORT

__all__ = ["NOTHING_SERVED", "client_service", "headless_service", "service_account", "url"]

NOTHING_SERVED = "none"
"""The client Service's revision before the first proof: no hash of ours, so no pod bears it."""


def client_service(owner: Owner, service: Service, served: str) -> dict[str, Any]:
    """The Service `NAME`, whose selector says which revision gets traffic.

    Args:
        owner: Whose Service.
        service: Type, port and annotations.
        served: The served revision, or `NOTHING_SERVED`.
    """
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(owner.name, names.labels(owner.name), service.annotations),
        "spec": {
            "type": service.type,
            "selector": names.serving_labels(owner.name, served),
            "ports": [
                {"name": "http", "port": service.port, "targetPort": PORT, "protocol": "TCP"}
            ],
        },
    }


def headless_service(owner: Owner, revision: str) -> dict[str, Any]:
    """The Service `NAME-REV`, by which validation reaches a revision without traffic."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": owner.metadata(
            names.child(owner.name, revision),
            names.labels(owner.name, **{names.REVISION: revision}),
        ),
        "spec": {
            "clusterIP": "None",
            "selector": names.serving_labels(owner.name, revision),
            "ports": [{"name": "http", "port": PORT, "targetPort": PORT, "protocol": "TCP"}],
        },
    }


def service_account(owner: Owner) -> dict[str, Any]:
    """The ServiceAccount of the serving pods; it has no rights, and no token is mounted."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": owner.metadata(owner.name, names.labels(owner.name)),
        "automountServiceAccountToken": False,
    }


def url(owner: Owner, service: Service) -> str:
    """Where clients in the cluster reach the model."""
    return f"http://{owner.name}.{owner.namespace}.svc:{service.port}"
