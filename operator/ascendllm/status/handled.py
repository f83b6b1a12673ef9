"""Which value of the annotation `ascendllm.io/revalidate` has been answered."""

from __future__ import annotations

from collections.abc import Sequence

from ascendllm.api.spec import Spec
from ascendllm.decide.asked import BEFORE_LOADING, CHECKS
from ascendllm.decide.checks import CheckState
from ascendllm.decide.demand import Demand
from ascendllm.state.observed import Observed

__all__ = ["handled_value"]


def handled_value(
    spec: Spec, demand: Demand, states: Sequence[CheckState] | None, observed: Observed
) -> str | None:
    """The value to echo.

    The standing one once nothing more will come of it: every check's newest run bears it, attempts
    that follow an Error included, or stands behind one that did not pass. What was answered before
    a change stays answered while the change is checked. Until then the newest value before it that
    every check has a finished run for.

    Args:
        spec: What is asked for.
        demand: What stands.
        states: The checks; None where the spec is not acted on.
        observed: What is there.
    """
    value = demand.value
    if value and states is not None and all(_answers(state, value, observed) for state in states):
        return value
    checks = {
        check
        for check in CHECKS
        if check not in BEFORE_LOADING and getattr(spec.validation, check, None) is not None
    }
    bearers: dict[str, set[str]] = {}
    for run in observed.runs:
        if run.finished and run.revalidate not in ("", value) and run.check in checks:
            bearers.setdefault(run.revalidate, set()).add(run.check)
    return next((older for older, found in bearers.items() if found == checks), None)


def _answers(state: CheckState, value: str, observed: Observed) -> bool:
    return not state.under_way or any(
        run.finished
        and run.check == state.check
        and run.revalidate == value
        and run.inputs_hash != state.inputs_hash
        for run in observed.runs
    )
