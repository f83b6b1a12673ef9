"""Ways in from outside the cluster: an HTTPRoute of the Gateway API, an Ingress.

Both lead to the client Service, so that they follow it from revision to revision.
"""

from __future__ import annotations

from typing import Any

from ascendllm.api.service import Gateway, Ingress
from ascendllm.desired import names
from ascendllm.desired.owner import Owner

__all__ = ["http_route", "ingress_rule"]

_NO_TIMEOUT = "0s"
"""How the Gateway API writes it: a stream lasts as long as its longest answer, and vLLM ends what
takes too long by itself. Left out, the gateway's own default holds, such as Envoy's 15 s."""


def http_route(owner: Owner, gateway: Gateway, port: int) -> dict[str, Any]:
    """The HTTPRoute `NAME`.

    Args:
        owner: Whose route.
        gateway: Where it attaches, and what it routes.
        port: The client Service's.
    """
    parent = {
        "group": "gateway.networking.k8s.io",
        "kind": "Gateway",
        "name": gateway.name,
        **({"namespace": gateway.namespace} if gateway.namespace is not None else {}),
        **({"sectionName": gateway.section_name} if gateway.section_name is not None else {}),
    }
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": gateway.path}}],
        "backendRefs": [
            {"group": "", "kind": "Service", "name": owner.name, "port": port, "weight": 1}
        ],
        "timeouts": {"request": _NO_TIMEOUT},
    }
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": owner.metadata(owner.name, names.labels(owner.name)),
        "spec": {
            "parentRefs": [parent],
            **({"hostnames": list(gateway.hostnames)} if gateway.hostnames is not None else {}),
            "rules": [rule],
        },
    }


def ingress_rule(owner: Owner, ingress: Ingress, port: int) -> dict[str, Any]:
    """The Ingress `NAME`.

    Args:
        owner: Whose Ingress.
        ingress: What it routes.
        port: The client Service's.
    """
    backend = {"service": {"name": owner.name, "port": {"number": port}}}
    path = {"path": ingress.path, "pathType": "Prefix", "backend": backend}
    tls = {"hosts": list(ingress.hosts), "secretName": ingress.tls_secret}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": owner.metadata(owner.name, names.labels(owner.name), ingress.annotations),
        "spec": {
            **({"ingressClassName": ingress.class_name} if ingress.class_name is not None else {}),
            "rules": [{"host": host, "http": {"paths": [path]}} for host in ingress.hosts],
            **({"tls": [tls]} if ingress.tls_secret is not None else {}),
        },
    }
