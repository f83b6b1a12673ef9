"""Resources and models that take seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cluster.installation import make_model
from cluster.provider import Provider

__all__ = ["ACCURACY", "CHECKS", "QUESTIONS", "RIGHT", "model", "resource"]

QUESTIONS = 1140
"""Of the made-up set: 57 subjects, 20 questions each."""

ACCURACY = 66.3
"""Percent, as the tests' models are told."""

RIGHT = 756
"""As many of the questions as come nearest to it."""

QUICK = {"loadSeconds": 1, "ttftMs": 5, "itlMs": 1, "accuracy": ACCURACY}

CHECKS: dict[str, Any] = {
    "smoke": {},
    "bench": {"inputTokens": 16, "outputTokens": 16, "concurrency": 2, "requests": 6},
    "mmlu": {"baseline": {"value": 66.7, "average": "macro"}, "tolerance": 1.0},
}
"""All checks, with figures that the tests' models reach."""


def model(cluster: Provider, name: str, **behaviour: Any) -> str:
    """A model on the node that loads and answers quickly, but for the given behaviour."""
    return make_model(cluster, f"e2e/{name}", {**QUICK, **behaviour})


def resource(
    name: str, path: str, validation: Mapping[str, Any] | None = CHECKS, **spec: Any
) -> dict[str, Any]:
    """An AscendLLM.

    Args:
        name: Its name.
        path: The model's folder on the node.
        validation: The checks.
        spec: Other fields.
    """
    fields = {
        "model": {"source": {"hostPath": path}},
        "npu": {"generation": "A3"},
        "engine": {"maxNumSeqs": 16},
        **({"validation": dict(validation)} if validation else {}),
        **spec,
    }
    return {
        "apiVersion": "ascendllm.io/v1alpha1",
        "kind": "AscendLLM",
        "metadata": {"name": name},
        "spec": fields,
    }
