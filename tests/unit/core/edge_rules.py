"""What service and autoscaling may not be: as the API server and as the models must refuse it."""

from __future__ import annotations

from typing import Any

__all__ = ["ACCEPTED", "BOUNDS", "RULES"]

SCALED = {"maxReplicas": 4, "metric": "queueDepth", "target": 8}
KEY = {"name": "key", "key": "token"}

RULES: list[tuple[str, Any, str]] = [
    ("autoscaling", {**SCALED, "minReplicas": 5}, "minReplicas is above maxReplicas"),
    ("autoscaling", {**SCALED, "metric": "kvCacheUsage"}, "give a target of at most 1"),
    ("autoscaling", {**SCALED, "scaleToZero": True}, "scaleToZero needs wakeQuery"),
    ("autoscaling", {**SCALED, "wakeQuery": "up"}, "set scaleToZero to true, or remove it"),
]
"""Field of the spec, value, and what both refusals say."""

BOUNDS: list[tuple[str, Any]] = [
    ("autoscaling", {}),
    ("autoscaling", {**SCALED, "minReplicas": 0}),
    ("autoscaling", {**SCALED, "maxReplicas": 1001}),
    ("autoscaling", {**SCALED, "metric": "cpu"}),
    ("autoscaling", {**SCALED, "target": 0}),
    ("autoscaling", {**SCALED, "target": 1_000_001}),
    ("autoscaling", {**SCALED, "wakeQuery": ""}),
    ("autoscaling", {**SCALED, "wakeQuery": "up\n"}),
    ("autoscaling", {**SCALED, "wakeQuery": "x" * 1025}),
    ("service.apiKeySecret", {"name": "key"}),
    ("service.apiKeySecret", {"name": "Key", "key": "token"}),
    ("service.apiKeySecret", {"name": "key", "key": "../token"}),
    ("service.apiKeySecret", {"name": "key", "key": ""}),
    ("service.gateway", {}),
    ("service.gateway", {"name": "a", "namespace": "b.c"}),
    ("service.gateway", {"name": "a", "hostnames": []}),
    ("service.gateway", {"name": "a", "hostnames": ["a.*.b"]}),
    ("service.gateway", {"name": "a", "path": "v1"}),
    ("service.gateway", {"name": "a", "path": "/v1/"}),
    ("service.gateway", {"name": "a", "path": "/v1?x"}),
    ("service.ingress", {}),
    ("service.ingress", {"hosts": []}),
    ("service.ingress", {"hosts": ["Upper.example.com"]}),
    ("service.ingress", {"hosts": ["a.example.com:80"]}),
    ("service.ingress", {"hosts": ["a"] * 17}),
    ("service.ingress", {"hosts": ["a"], "tlsSecret": "A"}),
    ("service.ingress", {"hosts": ["a"], "annotations": {"a": "b" * 4097}}),
]
"""Field of the spec, and a value out of its bounds."""

ACCEPTED: list[tuple[str, Any]] = [
    ("autoscaling", {**SCALED, "minReplicas": 4}),
    ("autoscaling", {**SCALED, "metric": "kvCacheUsage", "target": 1}),
    ("autoscaling", {**SCALED, "metric": "kvCacheUsage", "target": 0.001}),
    ("autoscaling", {**SCALED, "metric": "requestRate", "target": 1_000_000}),
    ("autoscaling", {**SCALED, "scaleToZero": True, "wakeQuery": 'sum(rate(x{a="b"}[1m])) > 0'}),
    ("service.apiKeySecret", {"name": "a.b-c", "key": "_KEY.0-a"}),
    ("service.gateway", {"name": "a", "hostnames": ["*.example.com", "localhost"], "path": "/"}),
    ("service.ingress", {"hosts": ["a.b-c.example.com"], "path": "/v1/chat"}),
]
"""What stands at the edge, and passes."""
