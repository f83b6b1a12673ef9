"""What the policies look at."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings

__all__ = ["Input", "Policy", "mmlu_data"]


@dataclass(frozen=True)
class Input:
    """What the policies look at.

    Attributes:
        settings: None where the operator's settings are not known (`ascendllm render` without
            `--settings`): what depends on them is then not judged.
        name: The resource's.
        absent: Kinds that the API server does not serve, of those that not every one has.
    """

    spec: Spec
    settings: Settings | None
    name: str = ""
    absent: frozenset[str] = frozenset()


Policy = Callable[[Input], SpecError | None]


def mmlu_data(spec: Spec, settings: Settings | None) -> DataSource | None:
    """The data set of mmlu: the resource's own, else the operator's."""
    mmlu = spec.validation.mmlu if spec.validation else None
    if mmlu is None:
        return None
    if mmlu.data is not None:
        return mmlu.data
    return settings.mmlu_data if settings is not None else None
