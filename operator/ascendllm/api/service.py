"""What clients reach the model by: `spec.service`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel

__all__ = ["Service"]


class Service(ResourceModel):
    """The Service that clients use."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """The Service's type."""

    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    """The Service's port; the container listens on 8000 whatever this says."""

    annotations: (
        Annotated[dict[str, Annotated[str, Field(max_length=4096)]], Field(max_length=32)] | None
    ) = None
    """Annotations of the Service, such as a cloud's load balancer wants."""
