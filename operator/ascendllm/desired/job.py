"""The Job of a run: `ascendllm validate` against a revision's headless Service."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from ascendllm.api.scalars import parse_duration
from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec
from ascendllm.api.validation import BenchCheck, JobSettings, MmluCheck, Validation
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.sources import Mounted, mount_data
from ascendllm.desired.template import served_name
from ascendllm.engine.arguments import PORT

__all__ = ["validation_job"]

CONTAINER = "check"
_USER = 65532
_SLACK = timedelta(minutes=10)
"""A job's deadline is the check's own timeout and this: scheduling and pulling take time too, and
the check should end by itself, with a result that says why."""

_POD_RETRIES = 5
"""Pods that may be killed under a job; each goes on from the checkpoint."""

_DEFAULT_MAX_NUM_SEQS = 256
"""What vLLM 0.18 takes on Ascend where --max-num-seqs is not given (EngineArgs)."""

_DEFAULT_RESOURCES = {
    "requests": {"cpu": "500m", "memory": "256Mi"},
    "limits": {"memory": "1Gi"},
}


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
) -> dict[str, Any]:
    """The Job `NAME-CHECK-RUN`.

    Args:
        owner: Whose job.
        spec: The checks' fields; `validation` is set.
        check: smoke, bench or mmlu.
        run: The run's hash.
        revision: The revision that is checked.
        image: The validator image.
        mmlu_data: The data set of mmlu: the resource's or the operator's.
        has_traffic: Clients use the revision: mmlu then takes a quarter of its capacity.
    """
    validation = spec.validation or Validation()
    settings = validation.job or JobSettings()
    timeout = parse_duration(validation.timeout)
    name = names.run_name(owner.name, check, run)
    labels = names.labels(owner.name, **{names.CHECK: check, names.RUN: run})
    data = mount_data(mmlu_data) if check == "mmlu" and mmlu_data is not None else None
    arguments = [
        "validate",
        check,
        f"--base-url=http://{names.child(owner.name, revision)}.{owner.namespace}.svc:{PORT}",
        f"--model={served_name(spec, owner.name)}",
        *_check_arguments(spec, validation, check, mmlu_data, data, has_traffic),
        f"--timeout={int(timeout.total_seconds())}",
        f"--run-configmap={name}",
    ]
    pod: dict[str, Any] = {
        "serviceAccountName": name,
        "automountServiceAccountToken": True,
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
        "containers": [
            {
                "name": CONTAINER,
                "image": image,
                "args": arguments,
                "resources": _resources(settings),
                "securityContext": {
                    "allowPrivilegeEscalation": False,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": True,
                },
                "volumeMounts": [
                    {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - the container's own
                    *(data.mounts if data else []),
                ],
            }
        ],
        "volumes": [
            {"name": "tmp", "emptyDir": {"sizeLimit": "256Mi"}},
            *(data.volumes if data else []),
        ],
    }
    if data and data.init_containers:
        pod["initContainers"] = data.init_containers
    if settings.node_selector:
        pod["nodeSelector"] = dict(settings.node_selector)
    if settings.tolerations:
        pod["tolerations"] = [
            toleration.model_dump(by_alias=True, exclude_none=True)
            for toleration in settings.tolerations
        ]
    if spec.runtime.image_pull_secrets:
        pod["imagePullSecrets"] = [
            {"name": secret.name} for secret in spec.runtime.image_pull_secrets
        ]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": owner.metadata(name, {**labels, names.REVISION: revision}),
        "spec": {
            "backoffLimit": _POD_RETRIES,
            "activeDeadlineSeconds": int((timeout + _SLACK).total_seconds()),
            "podFailurePolicy": {
                "rules": [
                    # 1 is a verdict against the model, 2 no verdict: both are results.
                    {
                        "action": "FailJob",
                        "onExitCodes": {
                            "containerName": CONTAINER,
                            "operator": "In",
                            "values": [1, 2],
                        },
                    },
                    {
                        "action": "Ignore",
                        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                    },
                ]
            },
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _check_arguments(
    spec: Spec,
    validation: Validation,
    check: str,
    mmlu_data: DataSource | None,
    data: Mounted | None,
    has_traffic: bool,
) -> list[str]:
    match check:
        case "smoke":
            return [f"--kind={spec.model.kind}"]
        case "bench":
            return _bench_arguments(
                validation.bench or BenchCheck(), spec.npu.count * spec.replicas
            )
        case "mmlu":
            arguments = _mmlu_arguments(validation.mmlu or MmluCheck())
            if data is not None:
                arguments.append(f"--data={data.path}")
            if mmlu_data is not None and mmlu_data.custom:
                arguments.append("--custom-data")
            sequences = spec.engine.max_num_seqs or _DEFAULT_MAX_NUM_SEQS
            arguments.append(
                f"--concurrency={max(1, sequences // 4 if has_traffic else sequences)}"
            )
            return [f"--kind={spec.model.kind}", *arguments]
    raise ValueError(f"{check!r} is not a check")


def _bench_arguments(bench: BenchCheck, npus: int) -> list[str]:
    return [
        f"--input-tokens={bench.input_tokens}",
        f"--output-tokens={bench.output_tokens}",
        f"--concurrency={bench.concurrency}",
        f"--requests={bench.requests}",
        f"--npus={npus}",
    ]


def _mmlu_arguments(mmlu: MmluCheck) -> list[str]:
    arguments = [f"--shots={mmlu.shots}"]
    if mmlu.baseline is not None:
        arguments += [
            f"--baseline={mmlu.baseline.value}",
            f"--baseline-average={mmlu.baseline.average}",
            f"--tolerance={mmlu.tolerance}",
        ]
    return arguments


def _resources(settings: JobSettings) -> dict[str, Any]:
    if settings.resources is None:
        return _DEFAULT_RESOURCES
    return settings.resources.model_dump(by_alias=True, exclude_none=True)
