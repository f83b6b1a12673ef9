"""What placement may not be: each as the API server and as the models must refuse it."""

from __future__ import annotations

from typing import Any

__all__ = ["ACCEPTED", "BOUNDS", "RULES", "SPANNING"]

SPANNING: list[tuple[str, Any, str]] = [
    ("resources", {"limits": {"huawei.com/Ascend910": "2"}}, "set npu.count"),
    ("resources", {"requests": {"huawei.com/Ascend910": "2"}}, "set npu.count"),
    ("resources", {"limits": {"huawei.com/ascend-1980": "2"}}, "set npu.count"),
    ("resources", {"limits": {"huawei.com/Ascend910B3-memory": "2"}}, "set npu.count"),
    ("resources", {"limits": {"gpus": "2"}}, "hugepages-*"),
    (
        "resources",
        {"requests": {"memory": "2Gi"}, "limits": {"memory": "2G"}},
        "a request is above its limit",
    ),
    (
        "resources",
        {"requests": {"rdma/hca": "1"}, "limits": {"rdma/hca": "2"}},
        "must be requested as it is limited",
    ),
]
"""Rules over several fields, which the models have too."""

RULES: list[tuple[str, Any, str]] = [
    *SPANNING,
    ("nodeSelector", {"a b": "c"}, "keys are names of at most 63 letters"),
    ("nodeSelector", {"a" * 64: "c"}, "keys are names of at most 63 letters"),
    ("labels", {"/a": "c"}, "keys are names of at most 63 letters"),
    ("labels", {"ascendllm.io/revision": "x"}, "are the operator's: remove them"),
    ("labels", {"app.kubernetes.io/name": "x"}, "are the operator's: remove them"),
    ("annotations", {"ascendllm.io/x": "x"}, "is the operator's: remove them"),
    ("annotations", {"huawei.com/Ascend910": "0,1"}, "which NPUs a pod has"),
    ("annotations", {"huawei.com/AscendReal": "Ascend910-0"}, "which NPUs a pod has"),
    ("annotations", {"predicate-time": "1"}, "which NPUs a pod has"),
    ("labels", {"leaderworkerset.sigs.k8s.io/worker-index": "0"}, "are the operator's: remove"),
    ("annotations", {"leaderworkerset.sigs.k8s.io/size": "9"}, "is its controller's"),
]
"""Field of placement, value, and what the API server says."""

BOUNDS: list[tuple[str, Any]] = [
    ("nodeSelector", {f"a{n}": "b" for n in range(33)}),
    ("nodeSelector", {"a": "b c"}),
    ("tolerations", [{}] * 33),
    ("tolerations", [{"effect": "Never"}]),
    ("schedulerName", "Volcano"),
    ("priorityClassName", ""),
    ("runtimeClassName", "a_b"),
    ("resources", {"limits": {"cpu": "many"}}),
    ("labels", {"a": "b c"}),
    ("annotations", {"a": "b" * 4097}),
    ("affinity", {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{}]}}),
    (
        "affinity",
        {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}
            }
        },
    ),
    (
        "affinity",
        {
            "nodeAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 0, "preference": {}}]
            }
        },
    ),
]

_HOST = {"topologyKey": "kubernetes.io/hostname"}

ACCEPTED: list[tuple[str, Any]] = [
    ("nodeSelector", {"kubernetes.io/arch": "arm64", "a" * 63: ""}),
    ("tolerations", [{"operator": "Exists"}]),
    (
        "resources",
        {
            "requests": {"cpu": "8", "memory": "64Gi"},
            "limits": {"memory": "64Gi", "hugepages-2Mi": "1Gi", "rdma/hca": "1"},
        },
    ),
    ("resources", {"limits": {"huawei.com/Ascend910-memory": "32768"}}),
    ("labels", {"kueue.x-k8s.io/queue-name": "inference"}),
    ("annotations", {"scheduling.volcano.sh/queue-name": "inference", "huawei.com/vnpu-mode": ""}),
    (
        "affinity",
        {
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "weight": 1,
                        "podAffinityTerm": {
                            **_HOST,
                            "labelSelector": {
                                "matchLabels": {"app": "a"},
                                "matchExpressions": [{"key": "b", "operator": "Exists"}],
                            },
                        },
                    }
                ]
            },
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}
                    ]
                }
            },
        },
    ),
]
