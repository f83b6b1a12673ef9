"""What clients reach the model by: `spec.service`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import Hostname, NamespaceName, ObjectName, UrlPath
from ascendllm.api.sources import SecretKey

__all__ = ["Gateway", "Ingress", "Service"]

Annotations = Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)]


class Gateway(ResourceModel):
    """An HTTPRoute of the Gateway API, of the resource's name."""

    name: ObjectName
    """The Gateway that the route attaches to; its listeners say which namespaces may."""

    namespace: NamespaceName | None = None
    """The Gateway's namespace; the resource's own when unset."""

    section_name: ObjectName | None = None
    """The listener of the Gateway; all that fit when unset."""

    hostnames: Annotated[list[Hostname], Field(min_length=1, max_length=16)] | None = None
    """The hosts that are routed, such as llama.example.com; those of the Gateway when unset."""

    path: UrlPath = "/v1"
    """The path that is routed, with all below it. The API key guards /v1 alone: / opens /metrics
    and all else to whoever reaches the Gateway."""


class Ingress(ResourceModel):
    """An Ingress of the resource's name."""

    class_name: ObjectName | None = None
    """The IngressClass; the cluster's default one when unset."""

    hosts: Annotated[list[Hostname], Field(min_length=1, max_length=16)]
    """The hosts that are routed, such as llama.example.com."""

    path: UrlPath = "/v1"
    """The path that is routed, with all below it. The API key guards /v1 alone: / opens /metrics
    and all else to whoever reaches the Ingress."""

    tls_secret: ObjectName | None = None
    """A Secret of this namespace with the hosts' certificate; the controller's own when unset."""

    annotations: Annotations | None = None
    """Annotations of the Ingress: how long an answer may take is the controller's own setting."""


class Service(ResourceModel):
    """The Service that clients use."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """The Service's type."""

    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    """The Service's port; the container listens on 8000 whatever this says."""

    annotations: Annotations | None = None
    """Annotations of the Service, such as a cloud's load balancer wants."""

    api_key_secret: SecretKey | None = None
    """The key that clients must send as a bearer token, which vLLM enforces on /v1."""

    gateway: Gateway | None = None
    """A route from a Gateway to the Service; none when unset."""

    ingress: Ingress | None = None
    """An Ingress to the Service; none when unset."""
