"""What the steps of a run look at and build from."""

from __future__ import annotations

from dataclasses import dataclass, field

from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec
from ascendllm.decide.demand import Demand
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.settings import Settings
from ascendllm.state.observed import Object, Observed
from ascendllm.state.runs import Run

__all__ = ["ACCESS", "Context"]

ACCESS = ("ServiceAccount", "Role", "RoleBinding")
"""The rights of a running job."""


@dataclass(frozen=True)
class Context:
    """What the steps of a run are made from.

    Attributes:
        template: The pod template of the spec's revision, once it is known.
    """

    owner: Owner
    spec: Spec
    observed: Observed
    settings: Settings
    mmlu_data: DataSource | None
    demand: Demand = field(default_factory=Demand)
    template: Object | None = None

    def pods(self, run: Run) -> list[Object]:
        """The pods of a run's job."""
        pods = self.observed.of("Pod")
        return [pod for pod in pods if pod["metadata"].get("labels", {}).get(names.RUN) == run.run]
