"""What is said of an autoscaler that does not scale: replicas stay where they are."""

from __future__ import annotations

from collections.abc import Iterable

from ascendllm.state.autoscaler import Autoscaler
from ascendllm.status.scene import Scene

__all__ = ["autoscaler_warnings"]

_REMEDIES = {
    "HorizontalPodAutoscaler": "it reads vLLM's metrics from the custom metrics API: see that "
    "prometheus-adapter serves them, or have KEDA installed and prometheusAddress set",
    "ScaledObject": "see that Prometheus answers at the operator's prometheusAddress",
}


def autoscaler_warnings(scene: Scene) -> Iterable[str]:
    """Why the load changes nothing."""
    found = Autoscaler.of(scene.observed)
    if found is not None and found.works is False and scene.spec.autoscaling is not None:
        name = scene.observed.resource["metadata"]["name"]
        yield f"{found.kind} {name} does not scale: {found.message}; {_REMEDIES[found.kind]}"
