"""What the operator answers: the `status` of an AscendLLM.

Everything here is computed from the objects that the operator owns and can be lost without harm.
Accuracies are percent points from 0 to 100, times are ms, throughput is per second; figures are
rounded to two decimals before they are written, so that an unchanged run writes nothing.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel

__all__ = ["BenchStatus", "CheckProgress", "Condition", "MmluStatus", "SmokeStatus", "Status"]

CheckOutcome = Literal["Pending", "Running", "Passed", "Failed", "Error", "Inconclusive", "Skipped"]
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


class CheckProgress(ResourceModel):
    """How far a running check is."""

    done: int
    """Requests or questions done."""
    total: int
    """Requests or questions in all."""
    rate_per_second: float | None = None
    """Done per second."""
    eta_seconds: int | None = None
    """Seconds left at that rate."""


class CheckStatus(ResourceModel):
    """What every check has."""

    result: CheckOutcome
    """Failed is a verdict about the model; Error and Inconclusive mean that none was reached."""
    reason: str | None = None
    """One CamelCase word."""
    message: str | None = None
    """What was found, for people."""
    started_at: str | None = None
    """When the run started."""
    finished_at: str | None = None
    """When the run finished."""
    attempt: int | None = None
    """Which attempt the run is, from 1."""
    progress: CheckProgress | None = None
    """How far a running check is."""
    inputs_hash: str | None = None
    """What the run measured: revision, image digests, the check's fields and data."""
    report: str | None = None
    """The ConfigMap that holds the run's whole result."""


class SmokeItem(ResourceModel):
    """One thing that smoke looked at."""

    name: str
    """What was looked at."""
    result: CheckOutcome
    """Passed, Failed, Error or Skipped."""
    latency_ms: float | None = None
    """How long the answer took, in ms."""
    expected: str | None = None
    """What was expected, where it was not seen."""
    seen: str | None = None
    """What was seen instead."""


class SmokeStatus(CheckStatus):
    """The server answers, in the right shapes, under the right name."""

    checks: list[SmokeItem] | None = None
    """Each thing that was looked at."""


class BenchStatus(CheckStatus):
    """Throughput and latency, with the names and definitions of `vllm bench serve` 0.18."""

    completed: int | None = None
    """Requests answered in full."""
    failed: int | None = None
    """Requests that failed; a bench with one is an Error."""
    total_input_tokens: int | None = None
    """Prompt tokens, as the server counted."""
    total_output_tokens: int | None = None
    """Generated tokens, as the server counted."""
    duration: float | None = None
    """Seconds from the first request's start to the last one's end."""
    concurrency: int | None = None
    """Requests in flight."""
    request_throughput: float | None = None
    """Requests per second."""
    output_throughput: float | None = None
    """Generated tokens per second."""
    output_throughput_per_npu: float | None = None
    """Generated tokens per second and NPU."""
    total_token_throughput: float | None = None
    """Prompt and generated tokens per second."""
    mean_ttft_ms: float | None = None
    """Time to first token, mean."""
    median_ttft_ms: float | None = None
    """Time to first token, median."""
    std_ttft_ms: float | None = None
    """Time to first token, standard deviation."""
    p99_ttft_ms: Annotated[float | None, Field(alias="p99TtftMs")] = None
    """Time to first token, 99th percentile."""
    mean_tpot_ms: float | None = None
    """Time per output token after the first, mean."""
    median_tpot_ms: float | None = None
    """Time per output token after the first, median."""
    std_tpot_ms: float | None = None
    """Time per output token after the first, standard deviation."""
    p99_tpot_ms: Annotated[float | None, Field(alias="p99TpotMs")] = None
    """Time per output token after the first, 99th percentile."""
    mean_itl_ms: float | None = None
    """Gap between tokens, mean."""
    median_itl_ms: float | None = None
    """Gap between tokens, median."""
    std_itl_ms: float | None = None
    """Gap between tokens, standard deviation."""
    p99_itl_ms: Annotated[float | None, Field(alias="p99ItlMs")] = None
    """Gap between tokens, 99th percentile."""
    mean_e2el_ms: Annotated[float | None, Field(alias="meanE2elMs")] = None
    """A request's whole time, mean."""
    median_e2el_ms: Annotated[float | None, Field(alias="medianE2elMs")] = None
    """A request's whole time, median."""
    std_e2el_ms: Annotated[float | None, Field(alias="stdE2elMs")] = None
    """A request's whole time, standard deviation."""
    p99_e2el_ms: Annotated[float | None, Field(alias="p99E2elMs")] = None
    """A request's whole time, 99th percentile."""
    client_lag_ms: float | None = None
    """How late the measuring client itself was, in the worst case."""


class MmluStatus(CheckStatus):
    """Accuracy in percent points."""

    macro_average: float | None = None
    """The mean of the subjects' accuracies."""
    micro_average: float | None = None
    """The accuracy over all questions."""
    baseline: float | None = None
    """The figure that the model is held against."""
    baseline_average: Literal["macro", "micro"] | None = None
    """Which average the baseline is."""
    delta: float | None = None
    """The model's figure less the baseline, on the same average."""
    tolerance: float | None = None
    """How far below the baseline still passes."""
    standard_error: float | None = None
    """The standard error of the average that is judged; shown, never added."""
    questions: int | None = None
    """Questions asked."""
    subject_count: int | None = None
    """Subjects."""
    unanswered: int | None = None
    """Questions without a valid answer."""
    dataset_hash: str | None = None
    """The canonical hash over the data set's rows."""
    custom_data: bool | None = None
    """The data is not the published MMLU."""
    protocol: str | None = None
    """How the questions were asked."""
    shots: int | None = None
    """Solved examples before each question."""
    worst_subjects: list[str] | None = None
    """The subjects with the lowest accuracy."""


class ValidationStatus(ResourceModel):
    """The checks that are asked for."""

    smoke: SmokeStatus | None = None
    """The server answers."""
    bench: BenchStatus | None = None
    """Throughput and latency."""
    mmlu: MmluStatus | None = None
    """Accuracy."""


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
    vllm: str | None = None
    """vLLM's version, as the server says."""


class HistoryEntry(ResourceModel):
    """A verdict of the past."""

    check: str
    """smoke, bench or mmlu."""
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
    candidate_revision: str | None = None
    """The spec's revision while it is not the served one."""
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
