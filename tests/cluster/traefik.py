"""Traefik on a cluster: a gateway of the Gateway API and of Ingresses, v3.5, from its Go module."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cluster import upstream
from cluster.binaries import TRAEFIK
from cluster.definitions import GATEWAY_API
from cluster.provider import Provider

__all__ = ["CLASS", "GATEWAY", "HOST", "METRICS", "NAMESPACE", "install"]

CLASS = "traefik"
"""The IngressClass, and the GatewayClass."""

NAMESPACE = "traefik"
GATEWAY = "public"
"""The Gateway; it takes routes from every namespace."""

HOST = f"traefik.{NAMESPACE}.svc.cluster.local"
"""Where it answers in the cluster, on port 80; routes are found by the names that point here."""

METRICS = 9100
"""The port of its Prometheus metrics, at /metrics."""

_NAME = "traefik"
_WEB = 8000
_READ = ["get", "list", "watch"]
_RIGHTS = (
    ("", ("namespaces", "nodes", "pods", "services", "secrets", "configmaps"), _READ),
    ("discovery.k8s.io", ("endpointslices",), _READ),
    ("networking.k8s.io", ("ingresses", "ingressclasses"), _READ),
    ("networking.k8s.io", ("ingresses/status",), ["update"]),
    ("gateway.networking.k8s.io", ("*",), [*_READ, "update"]),
)
"""As its documents have them (kubernetes-gateway-rbac.yml), and those for Ingresses."""


def install(cluster: Provider) -> None:
    """Put it on a cluster that may have it; returns when its Gateway is programmed.

    The first time on a machine the program is built, which takes minutes.
    """
    definitions = GATEWAY_API.path().parent
    cluster.kubectl("apply", "--server-side", f"--filename={definitions}")
    cluster.kubectl(
        "wait", f"--filename={definitions}", "--for=condition=Established", "--timeout=60s"
    )
    upstream.install(cluster, NAMESPACE, _manifests(), {_NAME: TRAEFIK})
    gateway = (f"--namespace={NAMESPACE}", f"gateway/{GATEWAY}")
    cluster.kubectl("wait", *gateway, "--for=condition=Programmed", "--timeout=60s")


def _manifests() -> Iterator[dict[str, Any]]:
    rules = [
        {"apiGroups": [group], "resources": list(resources), "verbs": verbs}
        for group, resources, verbs in _RIGHTS
    ]
    yield from upstream.running(_NAME, NAMESPACE, _pod(), rules, port=80, target_port=_WEB)
    yield {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IngressClass",
        "metadata": {"name": CLASS},
        "spec": {"controller": "traefik.io/ingress-controller"},
    }
    yield {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "GatewayClass",
        "metadata": {"name": CLASS},
        "spec": {"controllerName": "traefik.io/gateway-controller"},
    }
    yield {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "Gateway",
        "metadata": {"name": GATEWAY, "namespace": NAMESPACE},
        "spec": {
            "gatewayClassName": CLASS,
            "listeners": [
                {
                    "name": "web",
                    "protocol": "HTTP",
                    "port": _WEB,
                    "allowedRoutes": {"namespaces": {"from": "All"}},
                }
            ],
        },
    }


def _pod() -> dict[str, Any]:
    probe = {"httpGet": {"path": "/ping", "port": METRICS}}
    return {
        "containers": [
            {
                "name": _NAME,
                "args": [
                    f"--entrypoints.web.address=:{_WEB}",
                    f"--entrypoints.metrics.address=:{METRICS}",
                    "--ping.entrypoint=metrics",
                    "--metrics.prometheus.entrypoint=metrics",
                    "--metrics.prometheus.addrouterslabels=true",
                    "--providers.kubernetesgateway",
                    "--providers.kubernetesingress",
                    f"--providers.kubernetesingress.ingressclass={CLASS}",
                    "--global.checknewversion=false",
                ],
                "ports": [{"containerPort": METRICS}],
                "readinessProbe": probe,
                "livenessProbe": probe,
            }
        ],
    }
