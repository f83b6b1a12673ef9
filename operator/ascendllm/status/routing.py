"""What is said of a route that no Gateway takes: clients outside get no answer."""

from __future__ import annotations

from collections.abc import Iterable

from ascendllm.state.route import Route
from ascendllm.status.scene import Scene

__all__ = ["route_warnings"]


def route_warnings(scene: Scene) -> Iterable[str]:
    """Why nothing comes through."""
    found, gateway = Route.of(scene.observed), scene.spec.service.gateway
    if found is not None and found.message and gateway is not None:
        name = scene.observed.resource["metadata"]["name"]
        place = f"{gateway.namespace}/{gateway.name}" if gateway.namespace else gateway.name
        yield (
            f"HTTPRoute {name} leads nowhere: {found.message}; see that Gateway {place} of "
            "spec.service.gateway is there, and that its listeners allow routes from this "
            "namespace (allowedRoutes) and these hostnames"
        )
