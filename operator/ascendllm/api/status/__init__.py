"""What the operator answers: the `status` of an AscendLLM.

Everything here is computed from the objects that the operator owns and can be lost without harm.
Accuracies are percent points from 0 to 100, times are ms, throughput is per second; figures are
rounded to two decimals before they are written, so that an unchanged run writes nothing.

`resource` is the whole; each check has a module of its own.
"""

from __future__ import annotations

from ascendllm.api.status.bench import BenchStatus
from ascendllm.api.status.check import CheckOutcome, CheckProgress, CheckStatus
from ascendllm.api.status.evals import EvalsStatus
from ascendllm.api.status.mmlu import MmluStatus
from ascendllm.api.status.parity import ParityStatus
from ascendllm.api.status.resource import Condition, RuntimeStatus, Status
from ascendllm.api.status.smoke import SmokeStatus

__all__ = [
    "BenchStatus",
    "CheckOutcome",
    "CheckProgress",
    "CheckStatus",
    "Condition",
    "EvalsStatus",
    "MmluStatus",
    "ParityStatus",
    "RuntimeStatus",
    "SmokeStatus",
    "Status",
]
