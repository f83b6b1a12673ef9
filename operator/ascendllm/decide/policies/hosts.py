"""What a resource may reach of the nodes."""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.sources import DataFolder
from ascendllm.api.spec import Spec
from ascendllm.decide.policies.given import Input
from ascendllm.exceptions import SpecError

__all__ = [
    "adapter_host_path_not_allowed",
    "data_host_path_not_allowed",
    "model_host_path_not_allowed",
]


def model_host_path_not_allowed(given: Input) -> SpecError | None:
    """The model's host path must lie under a prefix that the operator's owner allows."""
    return _host_path(given, "spec.model.source.hostPath", given.spec.model.source.host_path)


def adapter_host_path_not_allowed(given: Input) -> SpecError | None:
    """So must each adapter's."""
    problems = (
        _host_path(given, f"spec.engine.loras[{lora.name}].source.hostPath", lora.source.host_path)
        for lora in given.spec.engine.loras or []
    )
    return next(filter(None, problems), None)


def data_host_path_not_allowed(given: Input) -> SpecError | None:
    """So must the data of every check; the operator's own `mmluData` is its owner's choice."""
    problems = (
        _host_path(given, f"spec.validation.{field}.hostPath", data.host_path)
        for field, data in _data_of(given.spec)
    )
    return next(filter(None, problems), None)


def _data_of(spec: Spec) -> Iterator[tuple[str, DataFolder]]:
    """Every data source of the checks, with its field."""
    validation = spec.validation
    if validation is None:
        return
    bench, mmlu, parity = validation.bench, validation.mmlu, validation.parity
    if bench is not None and bench.dataset is not None and bench.dataset.sharegpt is not None:
        yield "bench.dataset.sharegpt", bench.dataset.sharegpt
    if mmlu is not None and mmlu.data is not None:
        yield "mmlu.data", mmlu.data
    if mmlu is not None and mmlu.reference is not None and mmlu.reference.data is not None:
        yield "mmlu.reference.data", mmlu.reference.data
    for number, task in enumerate(validation.evals or []):
        if task.data is not None:
            yield f"evals[{number}].data", task.data
    if parity is not None and parity.reference.data is not None:
        yield "parity.reference.data", parity.reference.data


def _host_path(given: Input, field: str, path: str | None) -> SpecError | None:
    if path is None or given.settings is None or given.settings.allows_host_path(path):
        return None
    prefixes = ", ".join(given.settings.host_path_prefixes) or "none"
    return SpecError(
        "HostPathNotAllowed",
        f"{field} {path} lies under no prefix that the operator's owner allows ({prefixes}): use a "
        "claim (pvc), or have the prefix added to hostPathPrefixes in ConfigMap ascendllm-operator",
    )
