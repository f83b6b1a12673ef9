"""The operator's own work, for Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

__all__ = ["Metrics"]


class Metrics:
    """Counters of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._passes = Counter(
            "ascendllm_reconcile_total",
            "Reconcile passes by result.",
            ["result"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "ascendllm_reconcile_duration_seconds",
            "How long a reconcile pass took.",
            buckets=(0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30),
            registry=self.registry,
        )
        self._requests = Counter(
            "ascendllm_api_requests_total",
            "Requests to the API server by method and HTTP status (0: no answer).",
            ["method", "code"],
            registry=self.registry,
        )
        self.queue = Gauge(
            "ascendllm_queue_depth", "Resources that wait to be reconciled.", registry=self.registry
        )
        self.leader = Gauge(
            "ascendllm_leader", "1 while this process holds the lease.", registry=self.registry
        )

        self._replaced = Counter(
            "ascendllm_pods_replaced_total",
            "Serving pods that were replaced, by what was the matter.",
            ["reason"],
            registry=self.registry,
        )
        self._looks = Counter(
            "ascendllm_watchdog_looks_total",
            "Looks at the metrics of serving pods by result (unknown: no answer, or no metrics; "
            "skipped: not asked in time, since pods answer slowly).",
            ["result"],
            registry=self.registry,
        )
        self.hung = Gauge(
            "ascendllm_hung_pods",
            "Serving pods whose engine has requests and makes no step.",
            registry=self.registry,
        )
        self.faults = Gauge(
            "ascendllm_npu_faults",
            "Faults of NPUs on nodes with serving pods, as the device plugin tells them.",
            registry=self.registry,
        )

    def observe_replaced(self, reason: str) -> None:
        """Count a pod that was replaced."""
        self._replaced.labels(reason).inc()

    def observe_look(self, result: str) -> None:
        """Count a look of the watchdog."""
        self._looks.labels(result).inc()

    def observe_pass(self, result: str, seconds: float) -> None:
        """Count a reconcile pass."""
        self._passes.labels(result).inc()
        self._seconds.observe(seconds)

    def observe_request(self, method: str, status: int) -> None:
        """Count a request to the API server."""
        self._requests.labels(method, str(status)).inc()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
