"""What lm-eval knows of tasks, as JSON on stdout; run as a process, `python -m` and the names.

lm-eval's index of 14,000 tasks takes seconds and 300 MB: neither is wanted in the check's own
process. Read from its configurations, with no data set loaded (lm_eval 0.4.12, `tasks/manager.py`).
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import json
import sys
from collections.abc import Mapping
from typing import Any

__all__ = ["describe", "main"]

_DEFAULT_METRICS: Mapping[str, tuple[str, ...]] = {
    "loglikelihood": ("perplexity", "acc"),
    "loglikelihood_rolling": ("word_perplexity", "byte_perplexity", "bits_per_byte"),
    "multiple_choice": ("acc", "acc_norm"),
    "generate_until": ("exact_match",),
}
"""lm_eval 0.4.12, `api/registry.py`: DEFAULT_METRIC_REGISTRY."""

_DEEPEST = 8


def describe(index: Mapping[str, Any], name: str) -> dict[str, object]:
    """One task or group.

    Args:
        index: lm-eval's `TaskManager().task_index`.
        name: The wanted name.

    Returns:
        `{"kind": "task"|"group"|"tag", "leaves": […]}`, or `{"near": [names]}` where there is no
        such task.
    """
    entry = index.get(name)
    if entry is None:
        return {"near": difflib.get_close_matches(name, index, n=5, cutoff=0.5)}
    kind = str(entry.kind.name).lower().removeprefix("py_")
    return {"kind": kind, "leaves": list(_leaves(index, name, 0))}


def _leaves(index: Mapping[str, Any], name: str, depth: int) -> list[dict[str, object]]:
    entry = index.get(name)
    config = getattr(entry, "cfg", None) or {}
    if entry is None or depth > _DEEPEST:
        return []
    if str(entry.kind.name) == "GROUP":
        children = config.get("task") or []
        children = [children] if isinstance(children, str) else children
        names = [child if isinstance(child, str) else _named(child) for child in children]
        return [leaf for child in names for leaf in _leaves(index, child, depth + 1)]
    if str(entry.kind.name) == "TAG":
        return []
    return [_leaf(name, entry, config)]


def _named(child: Mapping[str, Any]) -> str:
    return str(child.get("task") or child.get("group") or "")


def _leaf(name: str, entry: Any, config: Mapping[str, Any]) -> dict[str, object]:
    # A task that is a Python class tells nothing of itself here.
    plain = str(entry.kind.name) == "TASK"
    kind = str(config.get("output_type", "generate_until")) if plain else None
    metrics = [str(item.get("metric")) for item in config.get("metric_list") or []]
    if kind is not None and not metrics:
        metrics = list(_DEFAULT_METRICS.get(kind, ()))
    filters = [str(item.get("name")) for item in config.get("filter_list") or []]
    return {
        "name": name,
        "outputType": kind,
        "dataset": config.get("dataset_path") if plain else None,
        "metrics": metrics if plain else [],
        "filters": (filters or ["none"]) if plain else [],
        # process_results may name metrics of its own: then only the results tell.
        "certain": plain and "process_results" not in config,
        "unsafe": bool(config.get("unsafe_code")),
    }


def main(names: list[str]) -> None:
    """Print what lm-eval says of these names."""
    # Whatever a library prints while it is imported is no part of the answer.
    with contextlib.redirect_stdout(sys.stderr):
        index = importlib.import_module("lm_eval.tasks").TaskManager().task_index
        found = {name: describe(index, name) for name in names}
    print(json.dumps({"tasks": found}))


if __name__ == "__main__":
    main(sys.argv[1:])
