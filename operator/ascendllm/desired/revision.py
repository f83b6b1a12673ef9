"""ControllerRevisions: what a revision was made from, and the pod template that came of it.

The template is rendered once and kept. An operator that renders otherwise, or resolves an unset
version otherwise, finds the kept one and restarts nothing.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.desired import names
from ascendllm.desired.group import shm_size
from ascendllm.desired.owner import Owner
from ascendllm.engine.arguments import tensor_parallel_size

__all__ = ["controller_revision", "labelled", "revision_inputs"]


def revision_inputs(spec: Spec, name: str) -> dict[str, Any]:
    """What makes a revision: the parts of the spec that enter the pods.

    Fields at their default are left out, the dependent defaults too, so that writing a default out
    is no change. `model.kind` only says how to check and is no part of it; of `service` the API key
    alone enters the pods.

    Args:
        spec: The spec.
        name: The resource's name, which is the default of `servedName`.
    """
    dumped = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude_none=True)
    inputs = {
        key: copy.deepcopy(dumped[key])
        for key in ("model", "runtime", "npu", "nodes", "engine", "placement")
        if dumped.get(key)
    }
    inputs["model"].pop("kind", None)
    for read in (inputs["model"], *inputs.get("engine", {}).get("loras", ())):
        _leave_out_access(read)
    if spec.service.api_key_secret is not None:
        inputs["service"] = {"apiKeySecret": dumped["service"]["apiKeySecret"]}
    if spec.model.served_name == name:
        inputs["model"].pop("servedName")
    implied = spec.engine.model_copy(update={"tensor_parallel_size": None})
    if spec.engine.tensor_parallel_size == tensor_parallel_size(implied, spec.npus):
        inputs["engine"].pop("tensorParallelSize", None)
    if spec.runtime.shm_size == shm_size(None, spec.nodes):
        inputs["runtime"].pop("shmSize")
    return {key: value for key, value in inputs.items() if value}


def _leave_out_access(read: Mapping[str, Any]) -> None:
    """How one is let in changes nothing of what is served, nor does a claim's size."""
    for fields in read["source"].values():
        if isinstance(fields, dict):
            fields.pop("tokenSecret", None)
            fields.pop("credentialsSecret", None)
    for key in ("size", "retain"):
        read.get("cache", {}).pop(key, None)


def controller_revision(
    owner: Owner,
    *,
    inputs: Mapping[str, Any],
    resolved: Mapping[str, Any],
    template: Mapping[str, Any],
    number: int,
) -> dict[str, Any]:
    """The ControllerRevision `NAME-REV`.

    Args:
        owner: Whose revision.
        inputs: As `revision_inputs` gives them.
        resolved: `image`, and what it was chosen by, as `decide.resolving` tells it.
        template: As `pod_template` gives it, without the revision's label.
        number: The highest number is the newest revision.
    """
    revision = names.digest(template)
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": owner.metadata(
            names.child(owner.name, revision),
            names.labels(owner.name, **{names.REVISION: revision}),
        ),
        "data": {"inputs": dict(inputs), "resolved": dict(resolved), "template": dict(template)},
        "revision": number,
    }


def labelled(template: Mapping[str, Any], revision: str) -> dict[str, Any]:
    """The template with the revision's label, as the workload has it."""
    result = copy.deepcopy(dict(template))
    roles = {"leader": names.REVISION, "worker": names.WORKER_OF}
    pods = {label: result[role] for role, label in roles.items() if role in result}
    for label, pod in (pods or {names.REVISION: result}).items():
        pod["metadata"]["labels"][label] = revision
    return result
