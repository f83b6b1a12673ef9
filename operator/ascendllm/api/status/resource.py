"""The status of the whole resource."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.status.bench import BenchStatus
from ascendllm.api.status.check import CheckOutcome
from ascendllm.api.status.evals import EvalsStatus
from ascendllm.api.status.mmlu import MmluStatus
from ascendllm.api.status.parity import ParityStatus
from ascendllm.api.status.smoke import SmokeStatus

__all__ = [
    "Condition",
    "DownloadStatus",
    "HistoryEntry",
    "RuntimeStatus",
    "StartupStatus",
    "Status",
    "ValidationStatus",
    "Verdict",
]

Verdict = Literal["Passed", "Failed", "Error", "Inconclusive", "Running", "None"]


class Condition(ResourceModel):
    """A condition as `metav1.Condition` has it."""

    type: Annotated[str, Field(max_length=316)]
    """Ready, Available, Validated, Reconciling or Stalled."""
    status: Literal["True", "False", "Unknown"]
    """Reconciling and Stalled stand here only while True."""
    reason: Annotated[str, Field(min_length=1, max_length=1024)]
    """One CamelCase word."""
    message: Annotated[str, Field(max_length=32768)]
    """What is the case and, where something is wrong, what to do."""
    last_transition_time: Annotated[str, Field(json_schema_extra={"format": "date-time"})]
    """When status last changed."""
    observed_generation: Annotated[int, Field(ge=0)] | None = None
    """The generation that this was said of."""


class ValidationStatus(ResourceModel):
    """The checks that are asked for."""

    dummy: SmokeStatus | None = None
    """The engine runs the model's architecture."""
    smoke: SmokeStatus | None = None
    """The server answers."""
    bench: BenchStatus | None = None
    """Throughput and latency."""
    mmlu: MmluStatus | None = None
    """Accuracy."""
    evals: EvalsStatus | None = None
    """Tasks of lm-eval."""
    parity: ParityStatus | None = None
    """Token by token against a reference."""


class DownloadStatus(ResourceModel):
    """The model on its way to the cluster."""

    source: str | None = None
    """Where from."""
    cache: str | None = None
    """The ConfigMap that records it; also the model's folder on the claim."""
    claim: str | None = None
    """The claim that it goes into."""
    revision: str | None = None
    """What the revision was resolved to, once, such as a commit."""
    bytes: int | None = None
    """Bytes that are there."""
    total_bytes: int | None = None
    """Bytes in all."""
    percent: int | None = None
    """The same in percent."""
    files: int | None = None
    """Files that are there."""
    total_files: int | None = None
    """Files in all."""
    rate_per_second: int | None = None
    """Bytes a second, over the last minute."""
    eta_seconds: int | None = None
    """Seconds left at that rate."""
    digest: str | None = None
    """Of all files' paths, sizes and hashes."""
    finished_at: str | None = None
    """When it was complete."""


class StartupStatus(ResourceModel):
    """How the serving pods came up."""

    launch_seconds: float | None = None
    """From a container's start to its readiness, in the slowest pod."""


class RuntimeStatus(ResourceModel):
    """What serves."""

    image: str | None = None
    """The image of the spec's revision."""
    image_id: Annotated[str | None, Field(alias="imageID")] = None
    """The image's digest, as the node reports it."""
    version: str | None = None
    """The release of vLLM-Ascend that was chosen; it stays until spec.runtime or spec.npu
    changes."""
    variant: str | None = None
    """The image's build that was chosen, such as a3."""
    generation: str | None = None
    """The chips' generation, as the spec or the nodes' labels tell it."""
    chip: str | None = None
    """The chips' model, as the nodes' labels tell it, such as 910B3."""
    memory: str | None = None
    """What one NPU has, as the nodes' labels tell it; of several kinds the least."""
    vllm: str | None = None
    """vLLM's version, as the server says."""
    vllm_ascend: str | None = None
    """vLLM-Ascend's version, of the image's own packages, as are the next ones."""
    torch_npu: str | None = None
    """torch-npu's version."""
    transformers: str | None = None
    """transformers' version."""
    cann: str | None = None
    """CANN's version."""
    soc: str | None = None
    """The chip that the image was built for, such as ascend910_9391."""
    arch: str | None = None
    """The processors' architecture, such as aarch64."""
    devices: list[str] | None = None
    """The NPUs that the pods have, as the device plugin says, such as Ascend910-4."""


class HistoryEntry(ResourceModel):
    """A verdict of the past."""

    check: str
    """dummy, smoke, bench, mmlu, evals or parity."""
    revision: str
    """The revision that was checked."""
    result: CheckOutcome
    """What came of it."""
    reason: str | None = None
    """One CamelCase word."""
    finished_at: str
    """When the run finished."""
    report: str | None = None
    """The run's ConfigMap, as long as it is kept."""


class Status(ResourceModel):
    """What is the case, of the generation that `observedGeneration` names."""

    observed_generation: int | None = None
    """The generation that this status was computed from; -1 before the first."""
    phase: str | None = None
    """One word for people, from the conditions."""
    conditions: (
        Annotated[
            list[Condition],
            Field(
                json_schema_extra={
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                }
            ),
        ]
        | None
    ) = None
    """Ready is what a pipeline waits on."""
    url: str | None = None
    """Where clients reach the model inside the cluster."""
    model: str | None = None
    """The name that clients ask for."""
    npus: int | None = None
    """NPUs that all replicas take."""
    verdict: Verdict | None = None
    """The checks' results in one word."""
    replicas: int | None = None
    """Pods of the served revision."""
    ready_replicas: int | None = None
    """Ready pods of the served revision."""
    selector: str | None = None
    """The served revision's pods, as a label selector."""
    served_revision: str | None = None
    """The revision that gets traffic."""
    last_handled_revalidate: str | None = None
    """The value of the annotation ascendllm.io/revalidate once every check has finished a run
    for it."""
    candidate_revision: str | None = None
    """The spec's revision while it is not the served one."""
    download: DownloadStatus | None = None
    """The model on its way to the cluster, of a source that is downloaded."""
    startup: StartupStatus | None = None
    """How the serving pods came up."""
    runtime: RuntimeStatus | None = None
    """What serves."""
    validation: ValidationStatus | None = None
    """The checks."""
    history: Annotated[list[HistoryEntry], Field(max_length=10)] | None = None
    """The last verdicts, newest first."""
    warnings: Annotated[list[str], Field(max_length=16)] | None = None
    """Settings that have no effect, and other things worth knowing."""
