"""One decision: the steps of `ascendllm.decide`, put together."""

from __future__ import annotations

from dataclasses import dataclass

from ascendllm.api.spec import Spec
from ascendllm.decide import policies
from ascendllm.decide.checks import CheckState, asked_checks, check_states, image_ids
from ascendllm.decide.context import Context
from ascendllm.decide.plan import Plan
from ascendllm.decide.revision import spec_revision
from ascendllm.decide.rollout import Rollout, roll_out
from ascendllm.decide.runs import go_on
from ascendllm.decide.sealing import seal_finished, seal_missed_deadline
from ascendllm.decide.sweeping import sweep
from ascendllm.decide.traffic import proven_revisions, served_revision
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
        problem: Why nothing is done; the other attributes are then None or empty.
        revision: The spec's revision.
        served: The revision that gets traffic once the plan is carried out, or `NOTHING_SERVED`.
        rollout: The spec's revision on its way.
        states: Where each check stands, in order.
    """

    plan: Plan
    problem: SpecError | None = None
    revision: Revision | None = None
    served: str = NOTHING_SERVED
    rollout: Rollout | None = None
    states: tuple[CheckState, ...] = ()


def decide(owner: Owner, spec: Spec, observed: Observed, settings: Settings) -> Decision:
    """What to do for a resource.

    A spec that may not be acted on leaves everything as it is: what serves goes on serving.

    Raises:
        NodesNeeded: The nodes must be looked at; nothing else was decided.
    """
    data = policies.mmlu_data(spec, settings)
    context = Context(owner, spec, observed, settings.validator_image, data)
    served_now = observed.served or NOTHING_SERVED
    problem = policies.first_problem(policies.Input(spec, settings))
    if problem is not None:
        return Decision(seal_finished(context), problem, served=served_now)
    try:
        revision = spec_revision(owner, spec, observed, settings)
    except SpecError as error:
        return Decision(seal_finished(context), error, served=served_now)

    asked = asked_checks(spec, data)
    stored = image_ids(revision.hash, False, observed)
    # What has clients keeps its pods, whatever a new bound says of it.
    refuted = observed.served != revision.hash and any(
        state.failed or state.spent
        for state in check_states(spec, asked, revision.hash, stored, observed)
    )
    rollout = roll_out(owner, spec, revision, observed, refuted=refuted)
    images = image_ids(revision.hash, rollout.available, observed)
    states = check_states(spec, asked, revision.hash, images, observed)
    served = served_revision(spec, revision.hash, states, rollout.available, observed)
    proven = proven_revisions(asked, observed)[:_KEPT_PROVEN]
    record = controller_revision(
        owner,
        inputs=revision.inputs,
        resolved=revision.resolved,
        template=revision.template,
        number=revision.number,
    )
    plan = Plan(apply=(record, service_account(owner), client_service(owner, spec.service, served)))
    plan += rollout.plan
    plan += seal_missed_deadline(context, revision.hash, rollout)
    sealing = seal_finished(context)
    plan += sealing
    if not sealing.apply:
        # What is sealed now is judged on the next look, which the sealing itself brings about.
        has_traffic = served == revision.hash
        plan += go_on(context, revision.hash, rollout, states, images, has_traffic)
        loaded = revision.hash if rollout.available else None
        plan += sweep(context, {revision.hash, served, *proven}, loaded)
    return Decision(plan, None, revision, served, rollout, states)
