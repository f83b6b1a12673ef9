"""Autoscalers: a HorizontalPodAutoscaler, or KEDA's ScaledObject, which makes one of its own.

Both set `spec.replicas` of the AscendLLM through its scale subresource, and look at the served
revision alone: a candidate's checks load it, and no client does. A replica takes minutes to load,
so one is given up only after a while without need of it, and one at a time.

The metrics are vLLM's own, of its `/metrics`. A HorizontalPodAutoscaler reads them by the names
that prometheus-adapter gives them by its default rules: a gauge as it is, a counter without
`_total` as its rate. KEDA asks Prometheus itself.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from typing import Any

from ascendllm.api.autoscaling import Autoscaling
from ascendllm.api.crd import GROUP, KIND, VERSION
from ascendllm.desired import names
from ascendllm.desired.owner import Owner

__all__ = ["horizontal_pod_autoscaler", "scaled_object"]

_POD_METRICS = {
    "queueDepth": "vllm:num_requests_waiting",
    "kvCacheUsage": "vllm:kv_cache_usage_perc",
    "requestRate": "vllm:request_success",
}

_QUERIES = {
    "queueDepth": "sum(vllm:num_requests_waiting{{{pods}}})",
    "kvCacheUsage": "sum(avg by (pod) (vllm:kv_cache_usage_perc{{{pods}}}))",
    "requestRate": "sum(rate(vllm:request_success_total{{{pods}}}[2m]))",
}
"""Over all replicas: KEDA's HorizontalPodAutoscaler divides by their number."""

_WORK = (
    "(sum(vllm:num_requests_running{{{pods}}}) or vector(0)) + "
    "(sum(vllm:num_requests_waiting{{{pods}}}) or vector(0)) + "
    "(sum(increase(vllm:request_success_total{{{pods}}}[5m])) or vector(0))"
)
"""Above 0 while there is work, or was just now: a request that runs does not wait."""

_NO_REPLICAS_FOR_IT = "1000000000"
"""A threshold beyond reach: the trigger says whether there is work, not how many replicas it
takes."""

_IDLE_SECONDS = 900
"""Without work until KEDA goes to zero: loading the model again takes minutes."""

_POLLING_SECONDS = 15

_BEHAVIOR = {
    "scaleDown": {
        "stabilizationWindowSeconds": 600,
        "policies": [{"type": "Pods", "value": 1, "periodSeconds": 300}],
    }
}


def horizontal_pod_autoscaler(owner: Owner, autoscaling: Autoscaling) -> dict[str, Any]:
    """The HorizontalPodAutoscaler `NAME`; its pods are those of the status' selector."""
    target = {"type": "AverageValue", "averageValue": _quantity(autoscaling.target)}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": owner.metadata(owner.name, names.labels(owner.name)),
        "spec": {
            "scaleTargetRef": _target(owner),
            "minReplicas": autoscaling.min_replicas,
            "maxReplicas": autoscaling.max_replicas,
            "metrics": [
                {
                    "type": "Pods",
                    "pods": {
                        "metric": {"name": _POD_METRICS[autoscaling.metric]},
                        "target": target,
                    },
                }
            ],
            "behavior": _BEHAVIOR,
        },
    }


def scaled_object(
    owner: Owner, autoscaling: Autoscaling, *, prometheus: str, served: str, may_idle: bool
) -> dict[str, Any]:
    """The ScaledObject `NAME`.

    Args:
        owner: Whose replicas.
        autoscaling: What is asked for.
        prometheus: Prometheus' address.
        served: The revision that clients use.
        may_idle: The model has been proven, and no check needs its pods now.
    """
    pods = f'namespace="{owner.namespace}",pod=~"{names.child(owner.name, served)}-.*"'
    metric = _QUERIES[autoscaling.metric].format(pods=pods)
    triggers = [_trigger(prometheus, metric, f"{_decimal(autoscaling.target):f}")]
    if autoscaling.scale_to_zero and autoscaling.wake_query is not None:
        triggers += [
            _trigger(prometheus, query, _NO_REPLICAS_FOR_IT)
            for query in (_WORK.format(pods=pods), autoscaling.wake_query)
        ]
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": owner.metadata(owner.name, names.labels(owner.name)),
        "spec": {
            "scaleTargetRef": _target(owner),
            "minReplicaCount": autoscaling.min_replicas,
            "maxReplicaCount": autoscaling.max_replicas,
            **({"idleReplicaCount": 0} if autoscaling.scale_to_zero and may_idle else {}),
            "pollingInterval": _POLLING_SECONDS,
            "cooldownPeriod": _IDLE_SECONDS,
            "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _BEHAVIOR}},
            "triggers": triggers,
        },
    }


def _target(owner: Owner) -> dict[str, str]:
    return {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "name": owner.name}


def _trigger(prometheus: str, query: str, threshold: str) -> dict[str, Any]:
    metadata = {"serverAddress": prometheus, "query": query, "threshold": threshold}
    return {"type": "prometheus", "metadata": metadata}


def _decimal(target: float) -> Decimal:
    """To the thousandth, which is as fine as Kubernetes' quantities are."""
    return Decimal(repr(target)).quantize(Decimal("0.001"), ROUND_CEILING).normalize()


def _quantity(target: float) -> str:
    """As the API server writes it: whole numbers plain, others in thousandths."""
    value = _decimal(target)
    whole = value == value.to_integral_value()
    return f"{int(value)}" if whole else f"{int(value * 1000)}m"
