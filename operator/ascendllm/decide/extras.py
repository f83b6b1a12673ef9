"""What stands beside the pods where the spec asks for it: budget, autoscaler, ways in.

Each is of a kind that few resources have one of; what is not wanted any more is deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.decide.plan import Plan, Ref
from ascendllm.desired.autoscaler import horizontal_pod_autoscaler, scaled_object
from ascendllm.desired.disruption import disruption_budget
from ascendllm.desired.owner import Owner
from ascendllm.desired.routes import http_route, ingress_rule
from ascendllm.desired.services import NOTHING_SERVED
from ascendllm.settings import Settings
from ascendllm.state.autoscaler import Autoscaler
from ascendllm.state.observed import Observed
from ascendllm.state.route import Route

__all__ = ["SCALED_OBJECT", "extras", "uses_keda"]

SCALED_OBJECT = "ScaledObject"

_LOOK_AGAIN = timedelta(minutes=1)

_KINDS = (
    "PodDisruptionBudget",
    "HorizontalPodAutoscaler",
    SCALED_OBJECT,
    "HTTPRoute",
    "Ingress",
)


def uses_keda(settings: Settings, absent: frozenset[str]) -> bool:
    """Whether KEDA scales, rather than a HorizontalPodAutoscaler.

    It does where it is installed and knows where Prometheus is: it alone goes to zero, and it needs
    no adapter for the metrics.
    """
    return settings.prometheus_address is not None and SCALED_OBJECT not in absent


def extras(
    owner: Owner, spec: Spec, observed: Observed, settings: Settings, *, served: str, may_idle: bool
) -> Plan:
    """The objects beside the pods.

    Args:
        owner: Whose objects.
        spec: What is wanted.
        observed: What is there.
        settings: Where Prometheus is.
        served: The revision that gets traffic.
        may_idle: The model has been proven, and no check needs its pods now.
    """
    apply = tuple(_wanted(owner, spec, observed, settings, served=served, may_idle=may_idle))
    kept = {Ref.of(item) for item in apply}
    there = (Ref.of(item, kind) for kind in _KINDS for item in observed.of(kind))
    return Plan(apply, tuple(ref for ref in there if ref not in kept), _look_again(spec, observed))


def _look_again(spec: Spec, observed: Observed) -> datetime | None:
    """Autoscalers and routes are not watched: one that does not work is looked at until it does."""
    autoscaler, route = Autoscaler.of(observed), Route.of(observed)
    works = [
        spec.autoscaling is None or spec.suspend or (autoscaler is not None and autoscaler.works),
        spec.service.gateway is None or (route is not None and route.works),
    ]
    return None if all(works) else observed.now + _LOOK_AGAIN


def _wanted(
    owner: Owner, spec: Spec, observed: Observed, settings: Settings, *, served: str, may_idle: bool
) -> Iterator[dict[str, Any]]:
    service = spec.service
    # Of one replica a budget would refuse every drain, or none.
    if served != NOTHING_SERVED and not spec.suspend and spec.most > 1:
        yield disruption_budget(owner, served, grouped=observed.grouped(served))
    if spec.autoscaling is not None and not spec.suspend:
        if settings.prometheus_address is not None and uses_keda(settings, observed.absent):
            yield scaled_object(
                owner,
                spec.autoscaling,
                prometheus=settings.prometheus_address,
                served=served,
                may_idle=may_idle,
            )
        else:
            yield horizontal_pod_autoscaler(owner, spec.autoscaling)
    if service.gateway is not None:
        yield http_route(owner, service.gateway, service.port)
    if service.ingress is not None:
        yield ingress_rule(owner, service.ingress, service.port)
