"""The serving pods' template: what a revision is.

It is put together from parts, one a concern (`part`). `args` and no `command`: the image's entry
point sources CANN's environment. Nothing names a device, since others assign them (`devices`).
Service links stay out, because a Service named `vllm` would set VLLM_PORT, which vLLM reads as its
own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.api.engine import Engine
from ascendllm.api.key_rules import API_KEY_VARIABLE
from ascendllm.api.lora import Lora
from ascendllm.api.runtime import Runtime
from ascendllm.api.sources import SecretKey
from ascendllm.api.spec import Spec
from ascendllm.desired import names
from ascendllm.desired.cache import cached_adapter, cached_model, cached_models, mount_cached
from ascendllm.desired.devices import devices_part
from ascendllm.desired.drain import drain, grace_when_hung
from ascendllm.desired.facts import facts_container
from ascendllm.desired.group import group_part, shm_size
from ascendllm.desired.owner import Owner
from ascendllm.desired.part import Part, put_together
from ascendllm.desired.placement import placement_part
from ascendllm.desired.probes import probes
from ascendllm.desired.sources import (
    MODEL_PATH,
    Mounted,
    mount_adapter,
    mount_model,
    mounted_together,
)
from ascendllm.engine.arguments import (
    PORT,
    adapter_path,
    serve_arguments,
)
from ascendllm.engine.in_force import in_force
from ascendllm.engine.multi_node import as_worker, leader_options
from ascendllm.engine.worlds import slice_of

__all__ = ["CONTAINER", "pod_template", "served_name"]

CONTAINER = "vllm"

_PORTS = [{"name": "http", "containerPort": PORT, "protocol": "TCP"}]


def served_name(spec: Spec, name: str) -> str:
    """The name that clients ask for."""
    return spec.model.served_name or name


def pod_template(owner: Owner, spec: Spec, resolved: Mapping[str, Any]) -> dict[str, Any]:
    """The template, without the revision's label: the revision's name is a hash of this.

    Args:
        owner: Whose pods.
        spec: What to serve.
        resolved: The image and, where they are known, what it was chosen by.

    Returns:
        A pod template; where a replica is a group of pods, that of its `leader`, which answers
        clients, that of each `worker`, and the group's `size`.
    """
    if spec.nodes == 1:
        return _pod(owner, spec, resolved, _arguments(owner, spec, resolved))
    engine = in_force(spec.engine)
    leader = _arguments(owner, spec, resolved, leader_options(engine, spec.nodes))
    worker = as_worker(_arguments(owner, spec, resolved), engine, spec.nodes)
    return {
        "size": spec.nodes,
        "leader": _pod(owner, spec, resolved, leader),
        "worker": _pod(owner, spec, resolved, worker, answers=False),
    }


def _arguments(
    owner: Owner, spec: Spec, resolved: Mapping[str, Any], more: Sequence[str] = ()
) -> list[str]:
    path, name = _model(spec).path, served_name(spec, owner.name)
    generation = resolved.get("generation")
    return serve_arguments(path, name, _engine(spec), spec.npus, generation, more)


def _engine(spec: Spec) -> Engine:
    """The engine's settings; on a soft slice no graphs are captured unless that was asked for.

    Piecewise graphs, vLLM-Ascend's default, do not work there (vllm-ascend #8585).
    """
    sliced = slice_of(spec.npu, spec.placement)
    if sliced is None or not sliced.soft or in_force(spec.engine).enforce_eager is not None:
        return spec.engine
    return spec.engine.model_copy(update={"enforce_eager": True})


def _pod(
    owner: Owner,
    spec: Spec,
    resolved: Mapping[str, Any],
    arguments: list[str],
    *,
    answers: bool = True,
) -> dict[str, Any]:
    """The template of one pod.

    One that answers no client has no port and no probe. That its process ends is all that it can
    tell, and that ends the group; whether it computes, the leader's probes say.
    """
    model = _model(spec)
    return put_together(
        CONTAINER,
        (
            *([group_part(owner, resolved)] if spec.nodes > 1 else []),
            devices_part(spec.npu, spec.placement, resolved),
            placement_part(spec.placement),
            _account(owner),
            _offline([item.name for item in cached_models(spec)]),
            _server(spec.runtime, resolved["image"], model, arguments, _PORTS if answers else []),
            mounted_together([model, *_adapters(spec)]),
            _scratch(spec.runtime, spec.nodes),
            *([_probes(owner, spec)] if answers else []),
            drain(spec.engine, answers=answers),
            _spread(owner),
            *([_api_key(spec.service.api_key_secret)] if answers else []),
        ),
    )


def _model(spec: Spec) -> Mounted:
    """The model's folder, wherever it is."""
    cached = cached_model(spec)
    if cached is not None:
        return mount_cached(cached, "model", MODEL_PATH)
    return mount_model(spec.model.source)


def _account(owner: Owner) -> Part:
    """Whose pods they are, and that they ask nothing of the API server."""
    return Part(
        labels=names.labels(owner.name),
        pod={
            "serviceAccountName": owner.name,
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
        },
    )


def _offline(caches: list[str]) -> Part:
    """All is there: nothing is looked for elsewhere, where a hub may be out of reach.

    Args:
        caches: Those that the pods read, by name.
    """
    return Part(
        annotations={names.CACHES: ",".join(caches)} if caches else {},
        env=[{"name": name, "value": "1"} for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")],
    )


def _server(
    runtime: Runtime, image: str, model: Mounted, arguments: list[str], ports: list[Any]
) -> Part:
    """The image, what it is called with, and the user's variables."""
    pull_policy, secrets = runtime.image_pull_policy, runtime.image_pull_secrets
    return Part(
        pod={"imagePullSecrets": [{"name": secret.name} for secret in secrets]} if secrets else {},
        init_containers=[facts_container(image, pull_policy, model)],
        container={
            "image": image,
            **({"imagePullPolicy": pull_policy} if pull_policy is not None else {}),
            "args": arguments,
            **({"ports": ports} if ports else {}),
            "securityContext": {"allowPrivilegeEscalation": False},
            # A crashed container's last log lines are then in its status, for the diagnosis.
            "terminationMessagePolicy": "FallbackToLogsOnError",
        },
        # Not escaped: Kubernetes expands $(NAME) in a variable's value too, and users may rely on
        # it. The value stays in the container's environment, where the server has every key anyway.
        env=[{"name": key, "value": value} for key, value in sorted((runtime.env or {}).items())],
    )


def _adapters(spec: Spec) -> list[Mounted]:
    """The folders of the LoRA adapters."""
    return [_adapter(lora, f"lora-{number}") for number, lora in enumerate(spec.engine.loras or [])]


def _adapter(lora: Lora, volume: str) -> Mounted:
    path, cached = adapter_path(lora.name), cached_adapter(lora)
    if cached is not None:
        return mount_cached(cached, volume, path)
    return mount_adapter(lora.source, volume, path)


def _scratch(runtime: Runtime, nodes: int) -> Part:
    """What is written beside the model: /dev/shm, and the caches of compiled graphs."""
    size = shm_size(runtime.shm_size, nodes)
    return Part(
        volumes=[
            {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": size}},
            {"name": "cache", "emptyDir": {}},
        ],
        mounts=[
            {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - the container's own
            {"name": "cache", "mountPath": "/root/.cache"},
        ],
    )


def _probes(owner: Owner, spec: Spec) -> Part:
    return Part(container=probes(served_name(spec, owner.name), grace_when_hung(spec.engine)))


def _spread(owner: Owner) -> Part:
    """One node's end takes as few replicas with it as can be; never does it keep one pending.

    The template does not know how many replicas there are: scaling makes no revision. The
    revision's label is told apart by its key, since its value is a hash of what stands here.
    """
    return Part(
        pod={
            "topologySpreadConstraints": [
                {
                    "maxSkew": 1,
                    "topologyKey": "kubernetes.io/hostname",
                    "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": {"matchLabels": {names.NAME: owner.name}},
                    "matchLabelKeys": [names.REVISION],
                }
            ]
        }
    )


def _api_key(secret: SecretKey | None) -> Part:
    """The key that vLLM asks of its clients, which stands in no argument list."""
    if secret is None:
        return Part()
    reference = {"name": secret.name, "key": secret.key}
    return Part(env=[{"name": API_KEY_VARIABLE, "valueFrom": {"secretKeyRef": reference}}])
