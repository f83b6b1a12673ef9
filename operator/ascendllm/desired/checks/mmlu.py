"""The call of `ascendllm validate mmlu`."""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.checks.mmlu import Baseline, MmluCheck
from ascendllm.api.sources import DataSource
from ascendllm.desired.checks.call import Call, Given, in_flight, number
from ascendllm.desired.checks.files import Files, data_files, reference_file

__all__ = ["REFERENCE_KEY", "mmlu_call"]

REFERENCE_KEY = "answers.json"
"""What a run writes into its ConfigMap: every question's answer."""


def mmlu_call(given: Given, data: DataSource | None) -> Call:
    """The call.

    Args:
        given: The checks.
        data: The data set: the resource's or the operator's.
    """
    mmlu = given.validation.mmlu or MmluCheck()
    files = data_files(data) if data is not None else Files()
    if mmlu.reference is not None:
        files += reference_file(mmlu.reference, REFERENCE_KEY)
    return Call(
        [
            f"--kind={given.spec.model.kind}",
            *([f"--protocol={mmlu.protocol}"] if mmlu.protocol is not None else []),
            f"--shots={mmlu.shots}",
            *([f"--subjects={','.join(mmlu.subjects)}"] if mmlu.subjects is not None else []),
            *(_baseline(mmlu.baseline) if mmlu.baseline is not None else []),
            *(
                [f"--tolerance={number(mmlu.tolerance)}"]
                if mmlu.baseline is not None or mmlu.reference is not None
                else []
            ),
            *files.arguments,
            *_reference_model(mmlu),
            *(["--custom-data"] if data is not None and data.custom else []),
            f"--concurrency={in_flight(given)}",
        ],
        files.mounted,
        files.env,
        scratch=files.scratch,
    )


def _reference_model(mmlu: MmluCheck) -> Iterator[str]:
    if mmlu.reference is not None and mmlu.reference.model is not None:
        yield f"--reference-model={mmlu.reference.model}"


def _baseline(baseline: Baseline) -> Iterator[str]:
    yield f"--baseline={number(baseline.value)}"
    yield f"--baseline-average={baseline.average}"
    if baseline.protocol is not None:
        yield f"--baseline-protocol={baseline.protocol}"
    if baseline.shots is not None:
        yield f"--baseline-shots={baseline.shots}"
    if baseline.across_protocols:
        yield "--across-protocols"
