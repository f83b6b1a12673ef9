"""One decision: the steps of `ascendllm.decide`, put together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ascendllm.api.spec import Spec
from ascendllm.decide import policies
from ascendllm.decide.asked import BEFORE_LOADING, asked_checks
from ascendllm.decide.care import Care, take_care
from ascendllm.decide.checks import CheckState, Standing, check_states, image_ids
from ascendllm.decide.context import Context
from ascendllm.decide.demand import Demand, schedule_notes, standing_demand
from ascendllm.decide.download import Download, downloads, releases
from ascendllm.decide.extras import extras
from ascendllm.decide.fit import downloaded_misfit, fitting
from ascendllm.decide.job_images import check_image_missing, hold_checks
from ascendllm.decide.plan import Plan
from ascendllm.decide.revision import spec_revision
from ascendllm.decide.rollout import Rollout, roll_out
from ascendllm.decide.runs import go_on
from ascendllm.decide.sealing import seal_finished, seal_missed_deadline
from ascendllm.decide.stages import explained, with_crash
from ascendllm.decide.sweeping import sweep
from ascendllm.decide.traffic import proven_revisions, served_revision
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.desired.revision import controller_revision
from ascendllm.desired.services import NOTHING_SERVED, client_service, service_account
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings
from ascendllm.state.observed import Observed
from ascendllm.state.revisions import Revision

__all__ = ["Decision", "decide"]

_KEPT_PROVEN = 3


@dataclass(frozen=True)
class Decision:
    """What is to be done, and what it was decided from.

    Attributes:
        plan: The steps.
        problem: Why the spec is refused. Where nothing at all is done, the revision and most other
            attributes are None or empty; where only checks are held back, they are set.
        revision: The spec's revision.
        served: The revision that gets traffic once the plan is carried out, or `NOTHING_SERVED`.
        rollout: The spec's revision on its way.
        states: Where each check stands, in order.
        demand: What asks for the checks to run though nothing has changed.
        care: What is done about pods that can't go on.
        downloads: What the spec's revision reads that is downloaded, and how far it is.
    """

    plan: Plan
    problem: SpecError | None = None
    revision: Revision | None = None
    served: str = NOTHING_SERVED
    rollout: Rollout | None = None
    states: tuple[CheckState, ...] = ()
    demand: Demand = field(default_factory=Demand)
    care: Care = field(default_factory=Care)
    downloads: tuple[Download, ...] = ()


def decide(owner: Owner, spec: Spec, observed: Observed, settings: Settings) -> Decision:
    """What to do for a resource.

    A spec that may not be acted on leaves everything as it is: what serves goes on serving.

    Raises:
        LookupNeeded: Something must be looked at first; nothing else was decided.
    """
    data = policies.mmlu_data(spec, settings)
    demand = standing_demand(observed.resource, {}, observed.now)
    context = Context(owner, spec, observed, settings, data, demand)
    care = take_care(context)
    problem = policies.first_problem(policies.Input(spec, settings, owner.name, observed.absent))
    if problem is not None:
        return _left_alone(context, care, problem)
    try:
        revision = spec_revision(owner, spec, observed, settings)
    except SpecError as error:
        return _left_alone(context, care, error)

    notes = _schedule_notes(owner, spec, revision, observed)
    demand = standing_demand(observed.resource, notes, observed.now)
    asked = asked_checks(spec, data)
    # A slot of the schedule raises nothing: what failed is not loaded again every night.
    stored = image_ids(revision.hash, False, observed)
    standing = check_states(spec, asked, revision.hash, stored, demand.without_slot(), observed)
    problem = check_image_missing(spec, standing, observed, settings)
    # Before a pod takes an NPU. The pods that serve are still looked after, see below.
    if problem is not None and observed.served != revision.hash:
        return _left_alone(context, care, problem)
    fetched = downloads(owner, spec, observed, settings, demand)
    problem = downloaded_misfit(fetched, spec, revision, observed)
    if problem is not None:
        return _left_alone(context, care, problem, fetched)
    rollout = _pods(replace(context, demand=demand), revision, standing, fetched)
    if rollout.held:
        demand = demand.without_slot()
    context = replace(context, demand=demand, template=revision.template)
    images = image_ids(revision.hash, rollout.available, observed)
    states = check_states(spec, asked, revision.hash, images, demand, observed)
    problem = check_image_missing(spec, states, observed, settings)
    if problem is not None:
        # The pods are scaled and repaired as before; only the checks wait.
        states = hold_checks(states, observed)
    served = served_revision(spec, revision.hash, states, rollout.available, observed)

    plan = Plan(
        apply=(
            _record(owner, revision, notes),
            service_account(owner),
            client_service(owner, spec.service, served),
        )
    )
    plan += _fetching(fetched) + rollout.plan
    plan += extras(
        owner,
        spec,
        observed,
        settings,
        served=served,
        may_idle=_may_idle(revision, rollout, states, served),
    )
    plan += seal_missed_deadline(context, revision.hash, rollout)
    sealing = seal_finished(context)
    plan += sealing
    if not sealing.apply and not care.plan.delete:
        # What is sealed now is judged on the next look, which the sealing itself brings about; so
        # does the end of a pod, which no run should begin with.
        has_traffic = served == revision.hash
        plan += go_on(context, revision.hash, rollout, states, images, has_traffic)
        proven = proven_revisions(asked, observed)[:_KEPT_PROVEN]
        loaded = revision.hash if rollout.available else None
        plan += sweep(context, {revision.hash, served, *proven}, loaded, _needed(states))
    plan += care.plan
    plan += releases(owner, spec, observed, plan)
    return Decision(plan, problem, revision, served, rollout, states, demand, care, fetched)


def _left_alone(
    context: Context, care: Care, problem: SpecError, fetched: tuple[Download, ...] = ()
) -> Decision:
    """The spec is not acted on; what was begun before comes to its end."""
    plan = seal_finished(context) + care.plan + _fetching(fetched)
    served = context.observed.served or NOTHING_SERVED
    return Decision(plan, problem, served=served, care=care, downloads=fetched)


def _pods(
    context: Context,
    revision: Revision,
    standing: Sequence[CheckState],
    fetched: Sequence[Download],
) -> Rollout:
    """The spec's revision on its way, and what holds it up."""
    spec, observed = context.spec, context.observed
    # What has clients keeps its pods, whatever a new bound says of it.
    refuted = observed.served != revision.hash and any(
        state.standing is Standing.FINISHED and not state.passed for state in standing
    )
    rollout = roll_out(
        context.owner,
        spec,
        revision,
        observed,
        refuted=refuted,
        demand=context.demand,
        before=next((item.stage for item in fetched if item.stage is not None), None),
        rehearsed=all(state.passed for state in standing if state.check in BEFORE_LOADING),
    )
    return with_crash(explained(fitting(rollout, spec, revision), observed))


def _fetching(fetched: Iterable[Download]) -> Plan:
    return sum((item.plan for item in fetched), Plan())


def _may_idle(
    revision: Revision, rollout: Rollout, states: Sequence[CheckState], served: str
) -> bool:
    """Whether nothing needs the pods but clients: an autoscaler may then take the last one."""
    settled = served == revision.hash and all(
        state.passed and not state.under_way for state in states
    )
    return settled and (rollout.loaded or rollout.wanted == 0)


def _record(owner: Owner, revision: Revision, notes: Mapping[str, str]) -> dict[str, Any]:
    """The revision's ControllerRevision, with the schedule's notes."""
    record = controller_revision(
        owner,
        inputs=revision.inputs,
        resolved=revision.resolved,
        template=revision.template,
        number=revision.number,
    )
    if not notes:
        return record
    return {**record, "metadata": {**record["metadata"], "annotations": dict(notes)}}


def _schedule_notes(
    owner: Owner, spec: Spec, revision: Revision, observed: Observed
) -> dict[str, str]:
    schedule = spec.validation.schedule if spec.validation is not None else None
    there = observed.find("ControllerRevision", names.child(owner.name, revision.hash))
    return schedule_notes(schedule, there, observed.now)


def _needed(states: Iterable[CheckState]) -> set[str]:
    """The runs that the checks stand on."""
    return {
        run.name
        for state in states
        for run in (state.finished, state.measured, state.unfinished)
        if run is not None
    }
