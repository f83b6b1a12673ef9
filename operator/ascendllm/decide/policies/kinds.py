"""Kinds that a cluster serves only once something is installed."""

from __future__ import annotations

from ascendllm.decide.policies.given import Input
from ascendllm.exceptions import SpecError

__all__ = ["gateway_without_its_api", "zero_without_keda"]


def gateway_without_its_api(given: Input) -> SpecError | None:
    """A route is an object of the Gateway API, which no Kubernetes has by itself."""
    gateway = given.spec.service.gateway
    if gateway is None or "HTTPRoute" not in given.absent:
        return None
    return SpecError(
        "GatewayApiMissing",
        f"spec.service.gateway names Gateway {gateway.name}, and the API server serves no "
        "HTTPRoute of gateway.networking.k8s.io/v1: have the Gateway API (1.0 or newer) and a "
        "controller installed, or use spec.service.ingress, or remove the field",
        unwatched=True,
    )


def zero_without_keda(given: Input) -> SpecError | None:
    """A HorizontalPodAutoscaler keeps one replica at least."""
    autoscaling = given.spec.autoscaling
    if autoscaling is None or not autoscaling.scale_to_zero or given.settings is None:
        return None
    remedy = "or set spec.autoscaling.scaleToZero to false"
    if "ScaledObject" in given.absent:
        return SpecError(
            "KedaMissing",
            "spec.autoscaling.scaleToZero is true, which needs KEDA, and the API server serves no "
            f"ScaledObject of keda.sh/v1alpha1: have KEDA installed, {remedy}",
            unwatched=True,
        )
    if given.settings.prometheus_address is None:
        return SpecError(
            "KedaMissing",
            "spec.autoscaling.scaleToZero is true, which needs KEDA, and the operator does not "
            "tell it where Prometheus is: have prometheusAddress set in ConfigMap "
            f"ascendllm-operator, {remedy}",
        )
    return None
