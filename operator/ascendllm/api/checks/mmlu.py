"""What mmlu is asked to do."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from ascendllm.api.checks.reference import Reference
from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import ServedName, cel, rules
from ascendllm.api.sources import DataSource, same_store

__all__ = [
    "DEFAULT_PROTOCOL",
    "AnswersReference",
    "Baseline",
    "MmluCheck",
    "MmluProtocol",
    "protocol_of",
]

MmluProtocol = Literal["lmEval", "original", "metaInstruct"]

DEFAULT_PROTOCOL: dict[str, MmluProtocol] = {"base": "lmEval", "instruct": "metaInstruct"}
"""By model.kind."""

_STORES = (
    "data and reference.data are read with one endpoint, region and credentialsSecret: give both "
    "the same, or put one of them on a claim, in an image or in a ConfigMap"
)
_BOTH_IN_S3 = (
    "has(self.data) && has(self.data.s3) && has(self.reference) && has(self.reference.data) && "
    "has(self.reference.data.s3)"
)


def _same(field: str, key: str = "") -> str:
    one, other = f"self.data.s3.{field}", f"self.reference.data.s3.{field}"
    return f"(has({one}) == has({other}) && (!has({one}) || {one}{key} == {other}{key}))"


_TWICE = "each subject may stand here once: remove the second one"


class Baseline(ResourceModel):
    """The published figure that the model is held against."""

    value: Annotated[float, Field(ge=0, le=100)]
    """The accuracy in percent."""

    average: Literal["macro", "micro"]
    """macro: the mean of the subjects' accuracies; micro: over all questions."""

    protocol: MmluProtocol | None = None
    """How that figure's questions were asked; as the check asks them when unset."""

    shots: Annotated[int, Field(ge=0, le=5)] | None = None
    """That figure's solved examples before each question; as the check's when unset."""

    source: Annotated[str, Field(max_length=256)] | None = None
    """Where the figure was published."""

    across_protocols: bool = False
    """Hold the model against a figure of another protocol, or of other shots, all the same."""


class AnswersReference(Reference):
    """The answers of an earlier run; exactly one of configMap and data."""

    model: ServedName | None = None
    """The name that the reference's model was served by, where it is not this one's: answers of
    another model are refused."""


class MmluCheck(ResourceModel):
    """MMLU: 57 subjects, four choices a question."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"!({_BOTH_IN_S3}) || ({_same('endpoint')} && {_same('region')} && "
                f"{_same('credentialsSecret', '.name')})",
                _STORES,
                path=".reference.data.s3",
            )
        )
    )

    protocol: MmluProtocol | None = None
    """How the questions are asked: lmEval (as lm-eval does; a base model's default), original (as
    the authors' code does), metaInstruct (as Meta asks instruct models; their default)."""

    shots: Annotated[int, Field(ge=0, le=5)] = 5
    """Solved examples before each question."""

    subjects: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[a-z0-9_]+$")]],
            Field(
                min_length=1,
                max_length=57,
                json_schema_extra=rules(cel("self.all(a, self.exists_one(b, b == a))", _TWICE)),
            ),
        ]
        | None
    ) = None
    """Only these subjects, such as abstract_algebra; no verdict is reached on a part of the
    published data."""

    data: DataSource | None = None
    """The data set; the operator's own when unset."""

    baseline: Baseline | None = None
    """The figure to hold the model against; without one, reaching a figure passes."""

    tolerance: Annotated[float, Field(ge=0, le=100)] = 1.0
    """How many percent points below the baseline, or the reference, still pass."""

    reference: AnswersReference | None = None
    """The answers of an earlier run (answers.json): the two are compared question by question,
    so that a part of the questions is enough."""

    @model_validator(mode="after")
    def _each_subject_once(self) -> Self:
        subjects = self.subjects or []
        twice = sorted({subject for subject in subjects if subjects.count(subject) > 1})
        if twice:
            raise ValueError(f"subjects: {_TWICE} ({', '.join(twice)})")
        return self

    @model_validator(mode="after")
    def _one_store(self) -> Self:
        if self.reference is not None and not same_store(self.data, self.reference.data):
            raise ValueError(f"reference.data.s3: {_STORES}")
        return self


def protocol_of(check: MmluCheck, kind: str) -> MmluProtocol:
    """How the questions are asked of a model of this kind."""
    return check.protocol or DEFAULT_PROTOCOL[kind]
