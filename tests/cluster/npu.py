"""The NPUs that a node pretends to have: chips, the labels that go with them, and their health."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

from cluster.errors import ClusterError

__all__ = ["CHIPS", "MODES", "PLUGIN_LISTENING", "Chip", "Mode", "Npus", "health_command"]

Mode = Literal["runtime", "devices"]
MODES: tuple[Mode, ...] = get_args(Mode)

_STATE = "/run/npu-device-plugin"
_UNHEALTHY = f"{_STATE}/unhealthy"

PLUGIN_LISTENING = f"{_STATE}/listening"
"""A file on the node, there while the kubelet knows the device plugin's devices."""


@dataclass(frozen=True)
class Chip:
    """A chip as MindCluster's device plugin tells of it.

    Attributes:
        device: What its devices are called, before their number.
        labels: What the plugin and, for accelerator-type, an administrator write on the node.
    """

    device: str
    labels: Mapping[str, str]

    @property
    def resource(self) -> str:
        """The extended resource that pods ask for."""
        return f"huawei.com/{self.device}"


def _ascend910(name: str, memory: str, accelerator_type: str) -> Chip:
    """Of every generation of the 910: the devices and the resource are called the same."""
    labels = {
        "accelerator": "huawei-Ascend910",
        "accelerator-type": accelerator_type,
        "mind-cluster/npu-chip-memory": memory,
        "node.kubernetes.io/npu.chip.name": name,
    }
    return Chip("Ascend910", labels)


CHIPS: Mapping[str, Chip] = {
    # A3 (910C): the driver calls the chip `Ascend910` and nothing more, so that is the label
    # (MindCluster's plugin logs "chipName: Ascend910, devType: Ascend910A3").
    "Ascend910": _ascend910("Ascend910", "64G", "module-a3-16"),
    # A2.
    "910B3": _ascend910("910B3", "64G", "module-910b-8"),
    "910B4": _ascend910("910B4", "32G", "module-910b-8"),
    # 310P has no high-bandwidth memory to tell of.
    "310P3": Chip(
        "Ascend310P",
        {"accelerator": "huawei-Ascend310P", "node.kubernetes.io/npu.chip.name": "310P3"},
    ),
}
"""By the value of the label node.kubernetes.io/npu.chip.name."""


@dataclass(frozen=True)
class Npus:
    """What `up` is asked to put on the node.

    Attributes:
        chip: A key of CHIPS.
        count: How many devices.
        mode: `runtime`: containers get the environment that Ascend Docker Runtime reads;
            `devices`: they get device nodes.
    """

    chip: str = "Ascend910"
    count: int = 16
    mode: Mode = "runtime"

    def __post_init__(self) -> None:
        if self.chip not in CHIPS:
            raise ClusterError(f"--chip {self.chip}: must be one of {', '.join(CHIPS)}")
        if not 1 <= self.count <= 64:
            raise ClusterError(f"--npus {self.count}: must be between 1 and 64")

    @property
    def resource(self) -> str:
        """The extended resource that pods ask for."""
        return CHIPS[self.chip].resource

    def plugin_command(self, program: str, node: str, kubeconfig: str) -> list[str]:
        """The device plugin's command line."""
        chip = CHIPS[self.chip]
        labels = ",".join(f"{name}={value}" for name, value in chip.labels.items())
        return [
            program,
            f"--node-name={node}",
            f"--kubeconfig={kubeconfig}",
            f"--resource={chip.resource}",
            f"--device-prefix={chip.device}",
            f"--count={self.count}",
            f"--mode={self.mode}",
            f"--labels={labels}",
            f"--state={_STATE}",
        ]


def health_command(device: str, *, healthy: bool) -> list[str]:
    """What to run on the node to turn a device's health: a file of its name says unhealthy.

    Args:
        device: Its name, such as `Ascend910-3`.
        healthy: What it shall be.
    """
    file = f"{_UNHEALTHY}/{device}"
    return ["rm", "-f", file] if healthy else ["touch", file]
