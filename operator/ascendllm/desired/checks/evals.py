"""The call of `ascendllm validate eval`."""

from __future__ import annotations

from collections.abc import Sequence

from ascendllm.api.checks.evals import Eval
from ascendllm.desired.checks.call import Call, Given, in_flight, number
from ascendllm.desired.sources import Mounted, mount_data

__all__ = ["evals_call"]


def evals_call(given: Given) -> Call:
    """One job runs all tasks; the data of task n is at /evals/<n>."""
    evals: Sequence[Eval] = given.validation.evals or []
    mounted = {
        place: mount_data(item.data, f"evals-{place}", f"/evals/{place}")
        for place, item in enumerate(evals)
        if item.data is not None
    }
    return Call(
        [
            f"--kind={given.spec.model.kind}",
            *(f"--task={_task(item, mounted.get(place))}" for place, item in enumerate(evals)),
            f"--concurrency={in_flight(given)}",
        ],
        list(mounted.values()),
        # lm-eval holds whole data sets, and copies of them in /tmp.
        resources={
            "requests": {"cpu": "500m", "memory": "1Gi"},
            "limits": {"memory": "4Gi"},
        },
        scratch="4Gi",
    )


def _task(item: Eval, mounted: Mounted | None) -> str:
    """`gsm8k,shots=5,…`: no part of it can hold a comma."""
    parts = {
        "shots": item.shots,
        "filter": item.filter,
        "metric": item.metric,
        "baseline": number(item.baseline) if item.baseline is not None else None,
        "tolerance": number(item.tolerance) if item.baseline is not None else None,
        "limit": item.limit,
        "data": mounted.path if mounted is not None else None,
    }
    given = [f"{key}={value}" for key, value in parts.items() if value is not None]
    return ",".join([item.task, *given])
