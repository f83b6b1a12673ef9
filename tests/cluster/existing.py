"""A cluster that somebody else made, named by its kubeconfig."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cluster.errors import ClusterError
from cluster.npu import Npus
from cluster.provider import Provider

__all__ = ["ExistingCluster"]


class ExistingCluster(Provider):
    """Used as it is: neither made nor taken down, its nodes out of our reach."""

    name = "kubeconfig"

    def __init__(self, kubeconfig: Path) -> None:
        self._kubeconfig = kubeconfig

    @property
    def kubeconfig(self) -> Path:
        return self._kubeconfig

    def check(self) -> None:
        if not self._kubeconfig.is_file():
            raise ClusterError(f"--kubeconfig {self._kubeconfig}: no such file")

    def up(self, npus: Npus) -> None:
        self.kubectl("get", "--raw=/readyz")
        if self.capacity(npus.resource) == 0:
            raise ClusterError(
                f"--kubeconfig {self._kubeconfig}: no node has {npus.resource}; install the "
                "Ascend device plugin there, or leave --kubeconfig out and have a cluster made"
            )

    def down(self) -> None:
        """Nothing was made, so nothing is taken down."""

    def description(self) -> str:
        return "a cluster of yours: `down` leaves it as it is"

    def node_command(self, command: Sequence[str]) -> list[str]:
        raise ClusterError(f"{command[0]}: the nodes of {self._kubeconfig} are out of reach")

    def load(self, archive: Path) -> None:
        raise ClusterError(
            f"{archive}: can't be loaded into {self._kubeconfig}; push it to a registry that its "
            "nodes pull from"
        )

    def logs(self, component: str | None) -> str:
        raise ClusterError(f"the logs of {self._kubeconfig} are out of reach")

    def restart(self, component: str) -> None:
        raise ClusterError(f"{component}: the nodes of {self._kubeconfig} are out of reach")
