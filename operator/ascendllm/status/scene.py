"""What the situations of a resource are read off: the decision, and what was observed."""

from __future__ import annotations

from dataclasses import dataclass

from ascendllm.api.spec import Spec
from ascendllm.decide.checks import CheckState, Standing
from ascendllm.decide.decision import Decision
from ascendllm.decide.job_images import check_image
from ascendllm.desired import names
from ascendllm.state.observed import Observed
from ascendllm.state.pods import held_up

__all__ = ["Scene"]


@dataclass(frozen=True)
class Scene:
    """What the situations look at."""

    spec: Spec
    observed: Observed
    decision: Decision

    @property
    def serves_spec(self) -> bool:
        """Whether the spec's revision is the served one."""
        revision = self.decision.revision
        return revision is not None and revision.hash == self.decision.served

    @property
    def ready_replicas(self) -> int:
        """Ready replicas that clients reach."""
        served = self.observed.replicas_of(self.decision.served)
        return sum(replica.ready for replica in served)

    @property
    def wanted(self) -> int:
        """Replicas that are wanted of the spec's revision."""
        return self.spec.wanted

    def having(self, *standings: Standing) -> list[CheckState]:
        """The checks that stand so."""
        return [state for state in self.decision.states if state.standing in standings]

    @property
    def held_up(self) -> str | None:
        """What keeps the running check's job from starting, and what to do about it."""
        running = {
            state.unfinished.run: check_image(state.check)
            for state in self.decision.states
            if state.unfinished
        }
        for pod in self.observed.of("Pod"):
            image = running.get(pod["metadata"].get("labels", {}).get(names.RUN))
            if image is None:
                continue
            cause = held_up(pod)
            if cause is not None:
                return (
                    f"{cause}; see imageRepository and {image}Image in ConfigMap "
                    "ascendllm-operator and spec.validation (job, mmlu.data); a job that is "
                    "deleted is made again"
                )
        return None

    @property
    def changing(self) -> bool:
        """Whether something was changed that is not proven yet, as opposed to checked again.

        What serves is checked again while every check has a verdict of just what is there; it is
        in force until the next one.
        """
        states = self.decision.states
        if any(state.in_force is None for state in states):
            return True
        return not self.serves_spec and any(state.under_way for state in states)

    @property
    def under_way(self) -> bool:
        """Whether a check is still to come to its end."""
        return any(state.under_way for state in self.decision.states)

    @property
    def failed_before(self) -> list[CheckState]:
        """The checks whose verdict in force is Failed, whatever came of them since."""
        return [
            state
            for state in self.decision.states
            if state.in_force is not None and state.in_force.result == "Failed"
        ]

    @property
    def failed(self) -> list[CheckState]:
        """The checks with the verdict Failed."""
        return [state for state in self.decision.states if state.failed]

    @property
    def spent(self) -> list[CheckState]:
        """The checks that reached no verdict and will reach none."""
        return [state for state in self.decision.states if state.spent]
