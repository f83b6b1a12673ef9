"""What mmlu found."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from ascendllm.api.model import ResourceModel
from ascendllm.api.status.check import CheckStatus

__all__ = ["MmluStatus", "Paired"]


class Paired(ResourceModel):
    """The comparison with a reference, question by question."""

    reference_hash: str | None = None
    """The hash over the reference's answers."""
    questions: int | None = None
    """Questions compared."""
    looks: int | None = None
    """How often the comparison was looked at before it decided."""
    better: int | None = None
    """Questions that the model has right and the reference wrong."""
    worse: int | None = None
    """The reverse."""
    flip_rate: float | None = None
    """Both together, in percent of the questions."""
    delta: float | None = None
    """The model's accuracy less the reference's, in percent points."""
    lower: float | None = None
    """The lower bound of that difference."""
    upper: float | None = None
    """The upper bound of it."""
    mcnemar_p: Annotated[float | None, Field(alias="mcnemarP")] = None
    """How likely so many flips to one side are by chance alone (McNemar's exact test)."""


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
    baseline_protocol: str | None = None
    """How the baseline's questions were asked."""
    baseline_shots: int | None = None
    """The baseline's solved examples before each question."""
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
    method: str | None = None
    """How the letters were read: allowedTokens, structuredOutputs, topLogprobs or generated."""
    unextracted: int | None = None
    """Answers without a letter, which count as wrong (metaInstruct)."""
    paired: Paired | None = None
    """The comparison with the reference."""
    shifted_subjects: list[str] | None = None
    """Subjects that differ from the reference by more than three standard errors."""
    shortened: int | None = None
    """Questions that lost solved examples because the prompt was too long (original)."""
