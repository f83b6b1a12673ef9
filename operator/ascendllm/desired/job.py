"""The Job of a run: `ascendllm validate` against a revision's headless Service."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from ascendllm.api.job import JobSettings
from ascendllm.api.scalars import parse_duration
from ascendllm.api.sources import DataSource, SecretKey
from ascendllm.api.spec import Spec
from ascendllm.api.validation import Validation
from ascendllm.desired import names
from ascendllm.desired.checks.bench import bench_call
from ascendllm.desired.checks.call import Call, Given
from ascendllm.desired.checks.dummy import SERVER_URL, beside_its_server, dummy_call
from ascendllm.desired.checks.evals import evals_call
from ascendllm.desired.checks.mmlu import mmlu_call
from ascendllm.desired.checks.parity import parity_call
from ascendllm.desired.checks.smoke import smoke_call
from ascendllm.desired.job_token import mount_token
from ascendllm.desired.owner import Owner
from ascendllm.desired.sources import mount_secret_key, mounted_together
from ascendllm.desired.template import served_name
from ascendllm.engine.arguments import PORT, escape_argument

__all__ = ["validation_job"]

CONTAINER = "check"
_USER = 65532
_SLACK = timedelta(minutes=10)
"""A job's deadline is the check's own timeout and this: scheduling and pulling take time too, and
the check should end by itself, with a result that says why."""

_POD_RETRIES = 5
"""Pods that may be killed under a job; each goes on from the checkpoint."""

_COMMANDS = {"evals": "eval"}
"""Commands of `ascendllm validate` that are not named like their check."""


def validation_job(
    owner: Owner,
    spec: Spec,
    *,
    check: str,
    run: str,
    revision: str,
    image: str,
    mmlu_data: DataSource | None,
    has_traffic: bool,
    template: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The Job `NAME-CHECK-RUN`.

    Args:
        owner: Whose job.
        spec: The checks' fields; `validation` is set.
        check: dummy, smoke, bench, mmlu, evals or parity.
        run: The run's hash.
        revision: The revision that is checked.
        image: The image that holds the check's command: evals has one of its own.
        mmlu_data: The data set of mmlu: the resource's or the operator's.
        has_traffic: Clients use the revision: mmlu and evals then take a quarter of its capacity.
        template: The revision's recorded pod template, for dummy, which brings its own server.
    """
    validation = spec.validation or Validation()
    call = _with_key(
        _call(check, Given(spec, validation, has_traffic), mmlu_data), spec.service.api_key_secret
    )
    timeout = parse_duration(validation.timeout)
    name = names.run_name(owner.name, check, run)
    labels = names.labels(owner.name, **{names.CHECK: check, names.RUN: run})
    arguments = [
        "validate",
        _COMMANDS.get(check, check),
        f"--base-url={SERVER_URL if check == 'dummy' else _url(owner, revision)}",
        f"--model={served_name(spec, owner.name)}",
        *call.arguments,
        f"--timeout={int(timeout.total_seconds())}",
        f"--run-configmap={name}",
    ]
    pod = _pod(name, image, arguments, call, validation.job or JobSettings())
    if spec.runtime.image_pull_secrets:
        pod["imagePullSecrets"] = [
            {"name": secret.name} for secret in spec.runtime.image_pull_secrets
        ]
    pod_labels: Mapping[str, str] = labels
    annotations: Mapping[str, str] = {}
    if check == "dummy" and template is not None:
        pod = beside_its_server(pod, template)
        metadata = template["metadata"]
        pod_labels = {**metadata.get("labels", {}), **labels}
        annotations = metadata.get("annotations", {})
    pod = mount_token(pod, CONTAINER)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owner.metadata(name, {**labels, names.REVISION: revision}),
        "spec": {
            **_completion(call.pods),
            "activeDeadlineSeconds": int((timeout + _SLACK).total_seconds()),
            "template": {
                "metadata": {
                    "labels": pod_labels,
                    **({"annotations": annotations} if annotations else {}),
                },
                "spec": pod,
            },
        },
    }


def _url(owner: Owner, revision: str) -> str:
    return f"http://{names.child(owner.name, revision)}.{owner.namespace}.svc:{PORT}"


def _call(check: str, given: Given, mmlu_data: DataSource | None) -> Call:
    match check:
        case "dummy":
            return dummy_call(given)
        case "smoke":
            return smoke_call(given)
        case "bench":
            return bench_call(given)
        case "mmlu":
            return mmlu_call(given, mmlu_data)
        case "evals":
            return evals_call(given)
        case "parity" if given.validation.parity is not None:
            return parity_call(given.validation.parity)
    raise ValueError(f"{check!r} is not a check that is asked for")


def _with_key(call: Call, secret: SecretKey | None) -> Call:
    """The call with the server's key as a file: an argument list is readable by everyone."""
    if secret is None:
        return call
    mounted = mount_secret_key(secret, "api-key", "/api-key")
    return replace(
        call,
        arguments=[*call.arguments, f"--api-key-file={mounted.path}"],
        mounted=[*call.mounted, mounted],
    )


def _completion(pods: int) -> dict[str, Any]:
    """When a job has ended, and what becomes of it when a pod does.

    A single pod that is killed is made again and goes on. Of several pods that measure together
    none can: they begin at one moment, and what is left would measure another load. So the job
    ends, and the operator starts the run anew.
    """
    verdict = {
        # 1 is a verdict against the model, 2 no verdict: both are results.
        "action": "FailJob",
        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [1, 2]},
    }
    disruption = [{"type": "DisruptionTarget", "status": "True"}]
    if pods == 1:
        return {
            "backoffLimit": _POD_RETRIES,
            "podFailurePolicy": {
                "rules": [verdict, {"action": "Ignore", "onPodConditions": disruption}]
            },
        }
    return {
        "completionMode": "Indexed",
        "completions": pods,
        "parallelism": pods,
        "backoffLimit": 0,
        "podFailurePolicy": {
            "rules": [verdict, {"action": "FailJob", "onPodConditions": disruption}]
        },
    }


def _pod(
    name: str, image: str, arguments: list[str], call: Call, settings: JobSettings
) -> dict[str, Any]:
    folders = mounted_together(call.mounted)
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        "args": [escape_argument(argument) for argument in arguments],
        **({"env": call.env} if call.env else {}),
        "resources": (
            settings.resources.model_dump(by_alias=True, exclude_none=True)
            if settings.resources is not None
            else call.resources
        ),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
            *folders.mounts,
        ],
    }
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "enableServiceLinks": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": call.scratch}},
            *folders.volumes,
        ],
    }
    if folders.init_containers:
        pod["initContainers"] = list(folders.init_containers)
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        pod["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True)
            for toleration in settings.tolerations
        ]
    return pod
