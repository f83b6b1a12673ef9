"""Replicas follow the load: prometheus-adapter's metrics, and KEDA down to zero and back.

Both are the real ones, and so is the Prometheus that they ask; it scrapes as SERVING.md says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import yaml

from cluster import keda, prometheus
from cluster.installation import REPOSITORY
from cluster.provider import Provider
from e2e.load import assert_nothing_lost, streams
from e2e.resources import model, resource
from e2e.space import NAME, REVISION, SIMULATOR, Space, condition, namespace, settings
from e2e.watch import Object

pytestmark = pytest.mark.timeout(1500)  # what scales is built the first time on a machine

LLAMA = "llama"
PODS = f"{NAME}={LLAMA},{REVISION}"
METRICS = {
    "queueDepth": "vllm:num_requests_waiting",
    "kvCacheUsage": "vllm:kv_cache_usage_perc",
    "requestRate": "vllm:request_success",
}

GATEWAY = """
import http.server, urllib.request
asked = 0
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200, f"gateway_requests_total {asked}\\n".encode())
    def do_POST(self):
        global asked
        asked += 1
        body = self.rfile.read(int(self.headers["Content-Length"]))
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request("http://llama:8000" + self.path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                self.answer(200, answer.read())
        except OSError as error:
            self.answer(503, str(error).encode())
    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
"""
"""What stands before the model, and counts who asks for it."""

BODY = {"model": LLAMA, "prompt": "Hello", "max_tokens": 4}


def documented_scraping() -> list[dict[str, Any]]:
    text = (REPOSITORY / "SERVING.md").read_text("utf-8")
    (block,) = re.findall(r"^```yaml\n(scrape_configs:.*?)^```", text, re.M | re.S)
    return list(yaml.safe_load(block)["scrape_configs"])


@pytest.fixture(scope="module")
def scraped(installed: Provider) -> Provider:
    gateways = {
        "job_name": "gateways",
        "kubernetes_sd_configs": [{"role": "pod"}],
        "relabel_configs": [
            {
                "source_labels": ["__meta_kubernetes_pod_label_app"],
                "action": "keep",
                "regex": "gateway",
            },
            {"source_labels": ["__meta_kubernetes_namespace"], "target_label": "namespace"},
        ],
    }
    prometheus.install(installed, [*documented_scraping(), gateways])
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


def ready(pod: Object) -> bool:
    return condition(pod, "Ready").get("status") == "True"


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
            pods.until(
                lambda there: len(there) == 2 and all(map(ready, there.values())),
                "two are ready",
                180,
            )
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


@pytest.fixture
def gateway(scraped: Provider) -> Iterator[Space]:
    """A namespace with the gateway."""
    with namespace(scraped, "keda") as space:
        space.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "gateway", "labels": {"app": "gateway"}},
                "spec": {
                    "terminationGracePeriodSeconds": 0,
                    "containers": [
                        {
                            "name": "gateway",
                            "image": SIMULATOR,
                            "args": ["python3", "-c", GATEWAY],
                            "ports": [{"containerPort": 8080}],
                        }
                    ],
                },
            }
        )
        space.start_client()
        space.wait("pod/gateway", "condition=Ready")
        yield space


def test_keda_goes_to_zero_and_back(scraped: Provider, gateway: Space) -> None:
    keda.install(scraped)
    space = gateway
    path = model(scraped, "scaled", itlMs=20)
    address = space.get("pod", "gateway")["status"]["podIP"]
    wake = f'sum(rate(gateway_requests_total{{namespace="{space.name}"}}[1m]))'
    with settings(scraped, prometheusAddress=prometheus.ADDRESS):
        space.apply(scaled(path, scaleToZero=True, wakeQuery=wake))
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

        assert space.ask(f"http://{address}:8080/v1/completions", BODY)["status"] is None
        with (
            space.keep_asking(f"http://{address}:8080/v1/completions", BODY),
            space.watch("ascendllm") as watch,
        ):
            watch.until(
                lambda there: condition(there.get(LLAMA), "Ready").get("reason") == "Proven",
                "it is back",
            )
            assert space.get("ascendllm", LLAMA)["spec"]["replicas"] == 1
        assert space.ask(f"http://{address}:8080/v1/completions", BODY)["status"] == 200
        assert space.runs(LLAMA) == runs, "what was proven is not run again"


def no_work_for_long(cluster: Provider, space: Space) -> None:
    """As if the last request had been answered half an hour ago."""
    prometheus.forget(cluster)
    long_ago = (datetime.now(UTC) - timedelta(minutes=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    patch = json.dumps({"status": {"lastActiveTime": long_ago}})
    space.kubectl(
        "patch", "scaledobject", LLAMA, "--subresource=status", "--type=merge", f"--patch={patch}"
    )
