"""Objects that a tenant can store to harm an operator: deep, large, strange."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ascendllm.desired import names
from ascendllm.kube.kinds import path

__all__ = ["STRANGE", "hostile_children", "hostile_specs", "raw"]

STRANGE = "\x1b]0;title\x07\x1b[2J\u202e\u2066\u200b\ufeff\u2028\x7f$(VLLM_API_KEY) {} %s '\"\\"

_MEGABYTE = 1_000_000
_ANNOTATIONS = 250 * 1024
"""All annotations of an object together have at most 256 KiB."""
_TEXT = "x" * _MEGABYTE
_SOURCE = {"source": {"pvc": {"claimName": "models"}}}


class _Deep:
    """A mapping of so many levels, which `json.dumps` could not write."""

    def __init__(self, levels: int) -> None:
        self.levels = levels


def deep(levels: int) -> Any:
    return _Deep(levels)


def raw(item: Mapping[str, Any]) -> str:
    """An object as JSON, without recursion where it is deep."""
    found: list[_Deep] = []

    def mark(value: Any) -> str:
        assert isinstance(value, _Deep)
        found.append(value)
        return f"deep-{len(found) - 1}"

    text = json.dumps(item, default=mark)
    for number, value in enumerate(found):
        nested = '{"f:a":' * value.levels + "{}" + "}" * value.levels
        text = text.replace(f'"deep-{number}"', nested)
    return text


def where(item: Mapping[str, Any]) -> str:
    """The URL path at which an object is created."""
    return path(item["kind"], item["metadata"]["namespace"])


def hostile_specs() -> dict[str, dict[str, Any]]:
    """Specs by name that the API server admits and the operator refuses or survives."""

    def engine(**fields: Any) -> dict[str, Any]:
        return {"model": _SOURCE, "npu": {"generation": "A3"}, "engine": fields}

    return {
        "deep-33": engine(additionalConfig=deep(33)),
        "deep-1500": engine(additionalConfig=deep(1_500)),
        "deep-9000": engine(additionalConfig=deep(9_000)),
        "deep-compilation": engine(compilationConfig=deep(3_000)),
        "deep-config": engine(config={"x": deep(3_000)}),
        "long-text": engine(additionalConfig={"a": _TEXT}),
        "many-keys": engine(additionalConfig={"a": {f"k{n}": {} for n in range(40_000)}}),
        "many-lists": engine(compilationConfig={"a": [[]] * 250_000}),
        "wrong-types": engine(
            additionalConfig={
                "ascend_scheduler_config": "x",
                "torchair_graph_config": [1],
                "weight_prefetch_config": 1,
                "xlite_graph_config": [],
                "expert_map_path": {"a": None},
            },
            compilationConfig={"cudagraph_capture_sizes": {"a": 1}, "cudagraph_mode": [[]]},
            config={"max-num-seqs": [1, {}], "seed": {"a": 1}, "": None, "-": []},
        ),
        "strange-text": engine(
            additionalConfig={STRANGE: STRANGE, "a": "\x00"},
            args=["--chat-template=" + STRANGE.replace("\x00", "")],
        ),
        "many-options": engine(config={"max-num-batched-tokenx": [""] * 16_000}),
        "many-values": engine(config={"cudagraph-capture-sizes": ["1"] * 13_000}),
        "near-options": engine(args=[f"--max-num-batched-token{n}" for n in range(64)]),
        "deep-option": engine(args=["--additional-config." + "a." * 2_000 + "a=1"]),
        "pattern": {
            "model": _SOURCE,
            "npu": {"generation": "A3"},
            "validation": {"smoke": {"prompts": [{"prompt": "a", "expect": "(" * 250}]}},
        },
    }


def hostile_children(
    namespace: str, resource: str, uid: str | None, prefix: str
) -> Iterator[dict[str, Any]]:
    """Objects of each watched kind that bear a resource's labels, owned by it if a uid is given."""
    for shape in ("deep", "large", "strange"):
        for kind, fields in _kinds(shape).items():
            metadata: dict[str, Any] = {
                "name": f"{prefix}-{shape}-{kind.lower()}",
                "namespace": namespace,
                "labels": _labels(resource, kind),
                "annotations": _annotations(shape),
            }
            if uid is not None:
                metadata["ownerReferences"] = [
                    {
                        "apiVersion": "ascendllm.io/v1alpha1",
                        "kind": "AscendLLM",
                        "name": resource,
                        "uid": uid,
                    }
                ]
            if shape == "deep":
                metadata["managedFields"] = [
                    {
                        "manager": names.FIELD_MANAGER,
                        "operation": "Apply",
                        "apiVersion": fields["apiVersion"],
                        "time": "2026-01-01T00:00:00Z",
                        "fieldsType": "FieldsV1",
                        "fieldsV1": {"f:metadata": {"f:labels": deep(5_000)}},
                    }
                ]
            yield {"kind": kind, "metadata": metadata, **fields}


def many_values(namespace: str, resource: str, uid: str) -> Iterator[dict[str, Any]]:
    """Objects of a resource, in part owned by it, that take far more memory than text."""
    labels = names.labels(resource)
    owner = {"apiVersion": "ascendllm.io/v1alpha1", "kind": "AscendLLM", "name": resource}
    environment = [{"name": "A"}] * 80_000
    container = {"name": "vllm", "image": "none", "env": environment}
    for number in range(10):
        yield {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{resource}-fat-{number}",
                "namespace": namespace,
                "labels": labels,
            },
            "spec": {"containers": [container]},
        }
    # Below the limit of one object, and above that of all together.
    for number in range(6):
        yield {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "revision": number,
            "data": {"a": [[]] * 60_000},
            "metadata": {
                "name": f"{resource}-fat-{number}",
                "namespace": namespace,
                "labels": labels,
                "ownerReferences": [{**owner, "uid": uid}],
            },
        }


def _labels(resource: str, kind: str) -> dict[str, str]:
    labels = names.labels(resource)
    if kind in ("ControllerRevision", "Pod", "Deployment"):
        labels[names.REVISION] = "0123456789"
    if kind == "ConfigMap":
        labels |= {names.CHECK: "smoke", names.RUN: "0123456789"}
    return labels


def _annotations(shape: str) -> dict[str, str]:
    match shape:
        case "large":
            return {"a": "x" * _ANNOTATIONS}
        case "strange":
            return {"a": STRANGE, "huawei.com/AscendReal": STRANGE, names.JOB_STATE: STRANGE}
    return {}


def _kinds(shape: str) -> dict[str, dict[str, Any]]:
    text = {"deep": "[" * 5_000, "large": _TEXT, "strange": STRANGE}[shape]
    content = {"deep": deep(9_000), "large": {"a": _TEXT}, "strange": {STRANGE: STRANGE}}[shape]
    container = {"name": "vllm", "image": "none", "env": [{"name": "A", "value": text}]}
    pod = {"containers": [container], "restartPolicy": "Never"}
    template = {"metadata": {"labels": {"app": "hostile"}}, "spec": pod}
    always = {**template, "spec": {**pod, "restartPolicy": "Always"}}
    record = {"check": "smoke", "run": "0123456789", "revision": "0123456789"}
    return {
        "ControllerRevision": {
            "apiVersion": "apps/v1",
            "revision": 9_000_000_000_000_000_000,
            "data": {"inputs": content, "resolved": content, "template": content}
            if shape != "large"
            else {"inputs": {}, "resolved": {}, "template": content},
        },
        "ConfigMap": {
            "apiVersion": "v1",
            "data": {
                "run.json": json.dumps({**record, "inputsHash": "x", "startedAt": STRANGE}),
                "result.json": text[:400_000],
                "sealed.json": text[:300_000],
                "progress.json": text[:1000],
                "replaced.json": text[:200_000],
            },
        },
        "ServiceAccount": {"apiVersion": "v1", "imagePullSecrets": [{"name": "a"}]},
        "Service": {"apiVersion": "v1", "spec": {"ports": [{"port": 1}], "selector": {"a": "b"}}},
        "Deployment": {
            "apiVersion": "apps/v1",
            "spec": {"selector": {"matchLabels": {"app": "hostile"}}, "template": always},
        },
        "Job": {"apiVersion": "batch/v1", "spec": {"template": template}},
        "Pod": {"apiVersion": "v1", "spec": pod},
    }
