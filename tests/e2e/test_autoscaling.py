"""Replicas follow the load: prometheus-adapter's metrics, and KEDA down to zero and back.

Both are the real ones, and so are the Prometheus that they ask, which scrapes as the documents say,
and the gateway, which tells that clients ask for a model that is at zero.
"""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from cluster import keda, prometheus, traefik
from cluster.installation import REPOSITORY
from cluster.provider import Provider
from e2e.clients import assert_nothing_lost, streams
from e2e.resources import model, resource
from e2e.space import NAME, REVISION, Space, all_ready, condition, namespace, settings
from e2e.watch import Object

pytestmark = pytest.mark.timeout(1500)  # what scales is built the first time on a machine

PAGE = (REPOSITORY / "docs" / "serving" / "autoscaling.md").read_text("utf-8")
LLAMA = "llama"
PODS = f"{NAME}={LLAMA},{REVISION}"
METRICS = {
    "queueDepth": "vllm:num_requests_waiting",
    "kvCacheUsage": "vllm:kv_cache_usage_perc",
    "requestRate": "vllm:request_success",
}

BODY = {"model": LLAMA, "prompt": "Hello", "max_tokens": 4}


def documented_scraping() -> list[dict[str, Any]]:
    (block,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", PAGE, re.M | re.S)
    return list(yaml.safe_load(block)["scrape_configs"])


def documented_wake_query() -> str:
    (query,) = re.findall(r"^ +(sum\(rate\(traefik_.*\)\))$", PAGE, re.M)
    return str(query)


@pytest.fixture(scope="module")
def scraped(installed: Provider) -> Provider:
    pods = {"role": "pod", "namespaces": {"names": [traefik.NAMESPACE]}}
    gateway = {"job_name": "gateway", "kubernetes_sd_configs": [pods]}
    prometheus.install(installed, [*documented_scraping(), gateway])
    return installed


def scaled(path: str, **autoscaling: Any) -> Object:
    """One answer at a time, so that a few streams already wait."""
    fields = {"minReplicas": 1, "maxReplicas": 2, "metric": "queueDepth", "target": 1}
    return resource(
        LLAMA,
        path,
        {"smoke": {}},
        engine={"maxNumSeqs": 1},
        autoscaling={**fields, **autoscaling},
    )


def is_metric(autoscaler: Object | None, name: str) -> bool:
    """Whether it scales by that metric, and got a value of it."""
    if condition(autoscaler, "ScalingActive").get("status") != "True":
        return False
    assert autoscaler is not None
    current = autoscaler["status"].get("currentMetrics") or []
    return name in json.dumps(current)


def is_followed(space: Space) -> None:
    """Load raises the replicas from one to two, and no request is lost."""
    with space.watch("pods", PODS) as pods:
        pods.until(lambda there: len(there) == 1, "one pod")
        with streams(space, LLAMA, tokens=20) as told:
            pods.until(lambda there: all_ready(there, 2), "two are ready", 180)
    assert_nothing_lost(told)
    found = space.get("ascendllm", LLAMA)
    assert found["spec"]["replicas"] == 2
    assert not [w for w in found["status"].get("warnings", []) if "does not scale" in w]


def test_a_horizontal_pod_autoscaler_follows_vllms_metrics(scraped: Provider) -> None:
    path = model(scraped, "scaled", itlMs=20)
    with prometheus.adapter(scraped), namespace(scraped, "hpa") as space:
        space.apply(scaled(path))
        space.start_client()
        space.wait_for_ready(LLAMA)
        with space.watch("horizontalpodautoscalers") as watch:
            for metric, name in METRICS.items():
                space.patch(LLAMA, {"autoscaling": {"metric": metric}})
                watch.until(
                    lambda there, name=name: is_metric(there.get(LLAMA), name),
                    f"{name} is read",
                )
        space.patch(LLAMA, {"autoscaling": {"metric": "queueDepth"}})
        is_followed(space)
        status = space.settle(LLAMA)
        assert condition({"status": status}, "Ready")["reason"] == "Proven"


def test_keda_goes_to_zero_and_back(scraped: Provider, space: Space) -> None:
    keda.install(scraped)
    traefik.install(scraped)
    path = model(scraped, "scaled", itlMs=20)
    host = space.alias("outside", traefik.HOST)
    gateway = {"name": traefik.GATEWAY, "namespace": traefik.NAMESPACE, "hostnames": [host]}
    wake = documented_wake_query().replace("NAMESPACE", space.name).replace("NAME", LLAMA)
    space.start_client()
    with settings(scraped, prometheusAddress=prometheus.ADDRESS):
        item = scaled(path, scaleToZero=True, wakeQuery=wake)
        item["spec"]["service"] = {"gateway": gateway}
        space.apply(item)
        space.wait_for_ready(LLAMA)
        with space.watch("horizontalpodautoscalers") as watch:
            watch.until(
                lambda there: is_metric(there.get(f"keda-hpa-{LLAMA}"), "prometheus"),
                "KEDA's autoscaler has its metrics",
            )
        is_followed(space)
        runs = space.runs(LLAMA)

        with space.watch("pods", PODS) as pods:
            pods.until(lambda there: len(there) == 2, "both are there")
            no_work_for_long(scraped, space)
            status = space.until(LLAMA, "ScaledToZero")
            pods.until(lambda there: not there, "the pods are gone")
        assert "wakeQuery" in condition({"status": status}, "Ready")["message"]

        url = f"http://{host}/v1/completions"
        assert space.ask(url, BODY)["status"] is None, "nobody answers yet"
        with space.keep_asking(url, BODY) as told, space.watch("ascendllm") as watch:
            watch.until(
                lambda there: condition(there.get(LLAMA), "Ready").get("reason") == "Proven",
                "it is back",
            )
            assert space.get("ascendllm", LLAMA)["spec"]["replicas"] == 1
        assert space.ask(url, BODY)["status"] == 200
        assert "503" in told[0], "the gateway answered meanwhile"
        assert space.runs(LLAMA) == runs, "what was proven is not run again"


def no_work_for_long(cluster: Provider, space: Space) -> None:
    """As if the last request had been answered half an hour ago."""
    prometheus.forget(cluster)
    long_ago = (datetime.now(UTC) - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = json.dumps({"status": {"lastActiveTime": long_ago}})
    space.kubectl(
        "patch", "scaledobject", LLAMA, "--subresource=status", "--type=merge", f"--patch={patch}"
    )
