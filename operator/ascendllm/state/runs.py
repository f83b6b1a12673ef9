"""Runs of checks, as their ConfigMaps record them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from ascendllm.checks.result import CheckResult, is_number, read_result
from ascendllm.desired import names
from ascendllm.exceptions import CheckError

__all__ = ["LOAD", "Run", "operator_result"]

LOAD = "load"
"""The check of a run without a job: it records that a revision missed its progress deadline."""

_SIZE_LIMIT = 256 * 1024
_LARGEST = 2**53
"""Beyond it an integer and a float of JSON are not the same number any more."""


@dataclass(frozen=True)
class Run:
    """One run of a check.

    Attributes:
        name: The ConfigMap's name.
        record: `run.json`, which the operator wrote when the run started.
        progress: `progress.json` of the job, where it can be read.
        outcome: What was sealed; None while the run is unfinished.
        result_text: `result.json` of the job, unread; None where there is none.
        job_state: `started`, `stopped`, or None.
    """

    name: str
    record: Mapping[str, Any]
    progress: Mapping[str, Any] | None
    outcome: CheckResult | None
    result_text: str | None
    job_state: str | None

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Run | None:
        """The run of a ConfigMap; None where it holds no record of the operator's."""
        data: Mapping[str, Any] = item.get("data") or {}
        record = _object(data.get("run.json"))
        if record is None or not all(
            isinstance(record.get(key), str)
            for key in ("check", "run", "revision", "inputsHash", "startedAt")
        ):
            return None
        labels = item["metadata"].get("labels") or {}
        owner = labels.get(names.NAME, "")
        if item["metadata"]["name"] != names.run_name(owner, record["check"], record["run"]):
            # A copy, or somebody's own.
            return None
        return cls(
            name=item["metadata"]["name"],
            record=record,
            progress=_progress(data.get("progress.json")),
            outcome=_sealed(data, record) if item.get("immutable") else None,
            result_text=data.get("result.json"),
            job_state=(item["metadata"].get("annotations") or {}).get(names.JOB_STATE),
        )

    @property
    def check(self) -> str:
        """One of the checks, or load."""
        return str(self.record["check"])

    @property
    def run(self) -> str:
        """The run's hash."""
        return str(self.record["run"])

    @property
    def revision(self) -> str:
        """The revision that is checked."""
        return str(self.record["revision"])

    @property
    def inputs_hash(self) -> str:
        """What the run measures."""
        return str(self.record["inputsHash"])

    @property
    def started_at(self) -> str:
        """When the operator started the run."""
        return str(self.record["startedAt"])

    @property
    def job_started_at(self) -> str:
        """When the operator made the run's present job."""
        return str(self.record.get("jobStartedAt", self.started_at))

    @property
    def attempt(self) -> int:
        """Which attempt at these inputs, from 1."""
        return _int(self.record.get("attempt"), 1)

    @property
    def serial(self) -> int:
        """The number of the run among those of the same inputs, from 1."""
        return _int(self.record.get("serial"), self.attempt)

    @property
    def revalidate(self) -> str:
        """The value of the annotation that stood when the run started; "" for none."""
        return _text(self.record.get("revalidate"))

    @property
    def slot(self) -> str:
        """The schedule's slot that stood when the run started; "" for none."""
        return _text(self.record.get("slot"))

    @property
    def measures(self) -> Mapping[str, Any]:
        """The fields and data that the run measures with."""
        value = self.record.get("measures")
        return value if isinstance(value, dict) else {}

    @property
    def runtime(self) -> Mapping[str, Any]:
        """What served when the run started, as the status has it."""
        value = self.record.get("runtime")
        return value if isinstance(value, dict) else {}

    @property
    def npus(self) -> int | None:
        """How many NPUs served when the run started, where that was recorded."""
        value = self.record.get("npus")
        return value if isinstance(value, int) else None

    @property
    def lost_jobs(self) -> int:
        """How many of its jobs went away without a result."""
        return _int(self.record.get("lostJobs"), 0)

    @property
    def image_ids(self) -> tuple[str, ...]:
        """The images that served when the run started."""
        value = self.record.get("imageIDs")
        return tuple(str(item) for item in value) if isinstance(value, list) else ()

    @property
    def pods(self) -> Mapping[str, int]:
        """The pods that served when the run started: restarts by uid."""
        value = self.record.get("pods")
        return value if isinstance(value, dict) else {}

    @property
    def finished(self) -> bool:
        """Whether the run is sealed."""
        return self.outcome is not None


def operator_result(
    check: str, reason: str, message: str, *, started_at: str, finished_at: str
) -> CheckResult:
    """An `Error` that the operator itself puts down, where no job could."""
    return CheckResult(
        check=check,
        result="Error",
        reason=reason,
        message=message,
        started_at=started_at,
        finished_at=finished_at,
        protocol_number=0,
    )


def _sealed(data: Mapping[str, Any], record: Mapping[str, Any]) -> CheckResult:
    try:
        return read_result(str(data.get("sealed.json", "")))
    except CheckError as error:
        return operator_result(
            record["check"],
            error.reason,
            error.message,
            started_at=record["startedAt"],
            finished_at=record["startedAt"],
        )


def _progress(text: object) -> Mapping[str, Any] | None:
    value = _object(text)
    if value is None or not all(_countable(value.get(key)) for key in ("done", "total")):
        return None
    kept: dict[str, Any] = {"done": int(value["done"]), "total": int(value["total"])}
    if _countable(value.get("ratePerSecond")):
        kept["ratePerSecond"] = round(value["ratePerSecond"], 2)
    if _countable(value.get("etaSeconds")):
        kept["etaSeconds"] = int(value["etaSeconds"])
    return kept


def _countable(value: object) -> bool:
    """Whether it is a number that the API server takes for an integer, too."""
    return is_number(value) and 0 <= cast(float, value) <= _LARGEST


def _object(text: object) -> Mapping[str, Any] | None:
    if not isinstance(text, str) or len(text) > _SIZE_LIMIT:
        return None
    try:
        value = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _no_constant(name: str) -> float:
    # json.loads takes NaN and Infinity, which no API server does and no figure may be.
    raise ValueError(f"{name} is not JSON")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default
