"""Runs: the ConfigMap that holds a run, and the rights of its job.

A run's ConfigMap has two writers. The operator owns `run.json` and, at the end, `sealed.json`; the
job writes `progress.json`, `checkpoint`, `result.json` and the like. Sealing makes it immutable, so
that a verdict can't change after it was read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ascendllm.desired import names
from ascendllm.desired.job_rights import job_rights
from ascendllm.desired.owner import Owner

__all__ = ["run_access", "run_config_map"]


def run_config_map(
    owner: Owner,
    record: Mapping[str, Any],
    *,
    job_state: str | None,
    sealed: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The ConfigMap `NAME-CHECK-RUN`, as far as the operator writes it.

    Args:
        owner: Whose run.
        record: `run.json`, as `ascendllm.state.runs` reads it; has `check`, `run`, `revision`.
        job_state: `started` or `stopped`; None for a run whose job was not seen yet, or has none.
        sealed: `sealed.json`, the outcome; makes the ConfigMap immutable.
    """
    check, run = record["check"], record["run"]
    data = {"run.json": _json(record)}
    if sealed is not None:
        data["sealed.json"] = _json(sealed)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": owner.metadata(
            names.run_name(owner.name, check, run),
            names.labels(
                owner.name,
                **{names.CHECK: check, names.RUN: run, names.REVISION: record["revision"]},
            ),
            {names.JOB_STATE: job_state} if job_state is not None else None,
        ),
        "data": data,
        **({"immutable": True} if sealed is not None else {}),
    }


def run_access(owner: Owner, check: str, run: str) -> list[dict[str, Any]]:
    """ServiceAccount, Role and RoleBinding of a running job.

    Its token can get and patch its own run's ConfigMap, nothing else.
    """
    name = names.run_name(owner.name, check, run)
    metadata = owner.metadata(
        name, names.labels(owner.name, **{names.CHECK: check, names.RUN: run})
    )
    return job_rights(metadata)


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
