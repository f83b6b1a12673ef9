"""What a check's job is called with, and what it needs for that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.api.validation import Validation
from ascendllm.desired.sources import Mounted
from ascendllm.engine.in_force import in_force

__all__ = ["MOST_IN_FLIGHT", "SCRATCH", "Call", "Given", "in_flight", "number"]

_DEFAULT_MAX_NUM_SEQS = 256
"""What vLLM 0.18 takes on Ascend where --max-num-seqs is not given (EngineArgs)."""

MOST_IN_FLIGHT = 4096
"""What `ascendllm validate` takes."""

SCRATCH = "256Mi"
"""The size limit of a job's /tmp, where it fetches nothing."""


@dataclass(frozen=True)
class Given:
    """What a call is made from.

    Attributes:
        spec: The resource's spec.
        validation: Its checks.
        has_traffic: Clients use the revision that is checked.
    """

    spec: Spec
    validation: Validation
    has_traffic: bool


@dataclass(frozen=True)
class Call:
    """How a check's job is called.

    Attributes:
        arguments: After `validate CHECK` and what every check has.
        mounted: Folders and files that it reads.
        env: Its environment.
        pods: How many pods do it together.
        resources: Of each pod, where the user says nothing.
        scratch: The size limit of its /tmp.
    """

    arguments: list[str]
    mounted: list[Mounted] = field(default_factory=list)
    env: list[dict[str, Any]] = field(default_factory=list)
    pods: int = 1
    resources: dict[str, Any] = field(
        default_factory=lambda: {
            "requests": {"cpu": "500m", "memory": "256Mi"},
            "limits": {"memory": "1Gi"},
        }
    )
    scratch: str = SCRATCH


def in_flight(given: Given) -> int:
    """How many requests a check of accuracy keeps in flight: what the engine runs at once.

    On a revision with traffic it takes a quarter of that.
    """
    sequences = in_force(given.spec.engine).max_num_seqs or _DEFAULT_MAX_NUM_SEQS
    wanted = sequences // 4 if given.has_traffic else sequences
    return min(max(1, wanted), MOST_IN_FLIGHT)


def number(value: float) -> str:
    """A number as it is written in an option: without an exponent."""
    text = repr(float(value))
    return text if "e" not in text else f"{value:.20f}".rstrip("0").rstrip(".")
