"""Prometheus v0.307.0 on a cluster, and prometheus-adapter v0.12.0, from their Go modules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import yaml

from cluster import upstream
from cluster.binaries import PROMETHEUS, PROMETHEUS_ADAPTER
from cluster.commands import run
from cluster.definitions import Definitions
from cluster.provider import Provider

__all__ = ["ADDRESS", "adapter", "forget", "install"]

_NAMESPACE = "monitoring"
_NAME = "prometheus"
_ADAPTER = "prometheus-adapter"
_PORT = 9090
ADDRESS = f"http://{_NAME}.{_NAMESPACE}.svc:{_PORT}"
"""Where it answers in the cluster."""

_EVERY = "2s"
_ADAPTER_MODULE = "sigs.k8s.io/prometheus-adapter"
_CONFIG_GENERATOR = f"{_ADAPTER_MODULE}/cmd/config-gen"
_NOT_NEEDED = ("APIService", "NetworkPolicy", "PodDisruptionBudget", "ConfigMap")
"""Of the adapter's manifests: they are for the resource metrics (`kubectl top`)."""

_SET_HERE = ("--prometheus-url", "--metrics-relist-interval")


def install(cluster: Provider, scrape_configs: Sequence[Mapping[str, Any]]) -> None:
    """Put Prometheus on a cluster that may have it; returns when it is available.

    The first time on a machine the program is built, which takes minutes.

    Args:
        cluster: The cluster.
        scrape_configs: As in its configuration file.
    """
    upstream.install(cluster, _NAMESPACE, _prometheus(scrape_configs), {_NAME: PROMETHEUS})


def forget(cluster: Provider) -> None:
    """Have it begin anew with nothing measured, as if all had been long ago."""
    deployment = (f"--namespace={_NAMESPACE}", f"deployment/{_NAME}")
    cluster.kubectl("rollout", "restart", *deployment)
    cluster.kubectl("rollout", "status", *deployment, "--timeout=60s")


@contextmanager
def adapter(cluster: Provider) -> Iterator[None]:
    """The adapter on a cluster meanwhile, with its default rules for custom metrics."""
    items = list(_adapter())
    upstream.install(cluster, _NAMESPACE, items, {_ADAPTER: PROMETHEUS_ADAPTER})
    try:
        yield
    finally:
        upstream.remove(cluster, items)


def _prometheus(scrape_configs: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    rules = [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}]
    yield from upstream.running(_NAME, _NAMESPACE, _pod(), rules, port=_PORT, target_port=_PORT)
    configuration = {
        "global": {"scrape_interval": _EVERY, "scrape_timeout": _EVERY},
        "scrape_configs": [dict(config) for config in scrape_configs],
    }
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": _NAME, "namespace": _NAMESPACE},
        "data": {"prometheus.yml": json.dumps(configuration)},
    }


def _pod() -> dict[str, Any]:
    probe = {"httpGet": {"path": "/-/ready", "port": _PORT}}
    return {
        "terminationGracePeriodSeconds": 0,
        "containers": [
            {
                "name": _NAME,
                "args": [
                    "--config.file=/etc/prometheus/prometheus.yml",
                    "--storage.tsdb.path=/data",
                ],
                "readinessProbe": probe,
                "livenessProbe": probe,
                "volumeMounts": [
                    {"name": "config", "mountPath": "/etc/prometheus"},
                    {"name": "data", "mountPath": "/data"},
                ],
            }
        ],
        "volumes": [
            {"name": "config", "configMap": {"name": _NAME}},
            {"name": "data", "emptyDir": {}},
        ],
    }


def _adapter() -> Iterator[dict[str, Any]]:
    """The adapter's own manifests, for custom metrics instead of resource metrics."""
    source = str(PROMETHEUS_ADAPTER.source)
    rules = run(["go", "-C", source, "run", "-trimpath", _CONFIG_GENERATOR], timeout=300)
    yield {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "adapter-config", "namespace": _NAMESPACE},
        "data": {"config.yaml": rules},
    }
    group = {"group": "custom.metrics.k8s.io", "version": "v1beta1"}
    yield {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": "v1beta1.custom.metrics.k8s.io"},
        "spec": {
            **group,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": _ADAPTER, "namespace": _NAMESPACE},
        },
    }
    # Who may read them; not among its manifests, which are for the resource metrics.
    metrics = {"apiGroups": [group["group"]], "resources": ["*"], "verbs": ["get", "list"]}
    yield from upstream.rights(
        "custom-metrics-reader",
        [metrics],
        account="horizontal-pod-autoscaler",
        namespace="kube-system",
    )
    manifests = Definitions(_ADAPTER_MODULE, "deploy/manifests", pinned=PROMETHEUS_ADAPTER.name)
    for file in sorted(manifests.path().glob("*.yaml")):
        for item in yaml.load_all(file.read_text(), yaml.CSafeLoader):
            if item["kind"] in _NOT_NEEDED:
                continue
            if item["kind"] == "Deployment":
                (container,) = item["spec"]["template"]["spec"]["containers"]
                container["args"] = [
                    *(a for a in container["args"] if not a.startswith(_SET_HERE)),
                    f"--prometheus-url={ADDRESS}",
                    "--metrics-relist-interval=5s",
                ]
            yield item
