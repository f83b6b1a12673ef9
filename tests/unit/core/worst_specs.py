"""Specs that cost the operator as much as the CRD admits."""

from __future__ import annotations

from typing import Any

from ascendllm.api.limits import CONFIG_BYTES, MAX_ARGUMENTS

__all__ = ["WORST_PATTERN", "worst_specs"]

WORST_PATTERN = "(?i)[" + "".join(f"{chr(0x300 + 2 * i)}-{chr(0xFF00 - 2 * i)}" for i in range(83))
WORST_PATTERN += "]"
"""Ignoring case, Python's `re` walks each of 83 ranges character by character: 0.3 s for one."""

_ENTRIES = 16


def affinity(values: int) -> dict[str, Any]:
    """An affinity with so many values in each requirement; 64 is the most."""
    requirement = {"key": "a", "operator": "In", "values": ["a"] * values}
    term = {"matchExpressions": [requirement] * _ENTRIES, "matchFields": [requirement] * _ENTRIES}
    selector = {"matchExpressions": [requirement] * _ENTRIES}
    pod_term = {
        "labelSelector": selector,
        "namespaceSelector": selector,
        "topologyKey": "a",
        "namespaces": ["a"] * _ENTRIES,
    }
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    pods = {
        required: [pod_term] * _ENTRIES,
        preferred: [{"weight": 1, "podAffinityTerm": pod_term}] * _ENTRIES,
    }
    nodes = {
        required: {"nodeSelectorTerms": [term] * _ENTRIES},
        preferred: [{"weight": 1, "preference": term}] * _ENTRIES,
    }
    return {"nodeAffinity": nodes, "podAffinity": pods, "podAntiAffinity": pods}


def worst_specs() -> dict[str, dict[str, Any]]:
    """Specs by what is the most in them."""
    base: dict[str, Any] = {"model": {"source": {"pvc": {"claimName": "models"}}}}
    numbers = {"a": [1] * (CONFIG_BYTES // 2)}
    lists = {"a": [[1]] * 4000}
    keys = {f"{number:x}": 1 for number in range(64)} | {"a": "x" * (CONFIG_BYTES - 1000)}
    prompts = [{"prompt": "x" * 1000, "expect": WORST_PATTERN} for _ in range(20)]
    arguments = ["--" + "a" * 4094] * 64
    fitting = affinity(1)
    return {
        "values": base | {"placement": {"affinity": affinity(64)}},
        "values within the limit": base | {"placement": {"affinity": fitting}},
        "numbers": base | {"engine": {name: numbers for name in _CONFIGS[:2]}},
        "lists": base | {"engine": {name: lists for name in _CONFIGS[:2]}},
        "text": base | {"engine": {name: keys for name in _CONFIGS}},
        "unknown options": base
        | {"engine": {"config": {"max-num-batched-tokenx": [""] * MAX_ARGUMENTS}}},
        "options with near names": base
        | {
            "engine": {
                "args": [f"--max-num-batched-token{number}" for number in range(64)],
                "config": {f"max-model-length{number}": 1 for number in range(64)},
            }
        },
        "many values of an option": base
        | {"engine": {"config": {"cudagraph-capture-sizes": ["1"] * MAX_ARGUMENTS}}},
        "deep options": base
        | {
            "engine": {
                "args": [f"--additional-config.k{n}." + "a." * 2_000 + "a=1" for n in range(64)]
            }
        },
        "patterns": base | {"validation": {"smoke": {"prompts": prompts}}},
        "everything": base
        | {
            "engine": {
                **{name: numbers for name in _CONFIGS[:2]},
                "config": keys,
                "args": arguments,
            },
            "placement": {"affinity": fitting},
            "validation": {"smoke": {"prompts": prompts}},
        },
    }


_CONFIGS = ("additionalConfig", "compilationConfig", "config")
