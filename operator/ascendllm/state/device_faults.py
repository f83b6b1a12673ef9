"""What a device plugin says of failing NPUs, and which faults a server cannot go on with.

MindCluster's plugin keeps a ConfigMap a node (mind-cluster, ascend-device-plugin, `pkg/common/
proto.go` NodeDeviceInfoCache; docs, `ascend_device_plugin.md`):

    DeviceInfoCfg: {"DeviceInfo": {"DeviceList": {
        "huawei.com/Ascend910-Unhealthy": "Ascend910-3",
        "huawei.com/Ascend910-NetworkUnhealthy": "",
        "huawei.com/Ascend910-Fault": "[{"fault_type": "CardUnhealthy", "npu_name": "Ascend910-3",
            "fault_handling": "RestartNPU", "fault_code": "80E01801", ...}]"}, ...}, ...}
    ManuallySeparateNPU: Ascend910-5

The kubelet's own word, where it gives one (ResourceHealthStatus), stands in the pod's status.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ascendllm.checks.result import one_line

__all__ = [
    "CONFIG_MAP",
    "NAMESPACE",
    "SET_ASIDE",
    "Fault",
    "device_faults",
    "ends_work",
    "unhealthy_devices",
]

NAMESPACE = "kube-system"
CONFIG_MAP = "mindx-dl-deviceinfo-"
"""The ConfigMaps' names begin so, and end in the node's."""

Kind = Literal["card", "network", "node"]

_KINDS: Mapping[str, Kind] = {
    "CardUnhealthy": "card",
    "CardNetworkUnhealthy": "network",
    "NodeUnhealthy": "node",
}
_ENDS_WORK = frozenset(
    {
        "RestartBusiness",
        "FreeRestartNPU",
        "RestartNPU",
        "SeparateNPU",
        "ManuallySeparateNPU",
        "Unhealthy",
    }
)
"""What the plugin would have done about a fault, where that ends what runs. Not so NotHandleFault,
SubHealthFault and RestartRequest (one request is asked again), and PreSeparateNPU (what runs goes
on, nothing new begins)."""
SET_ASIDE = "PreSeparateNPU"

_LONGEST = 1024 * 1024
_FAULTS = 256
_TEXT = 64


@dataclass(frozen=True, order=True)
class Fault:
    """A fault of an NPU.

    Attributes:
        device: Its name, such as `Ascend910-3`; "" where it is the node's.
        kind: Of the card, of its network port, or of the node.
        handling: What the plugin would have done about it, such as `RestartNPU`; `Unhealthy` where
            it only says so.
        code: The plugin's code; "" where it names none.
    """

    device: str
    kind: Kind
    handling: str
    code: str

    @property
    def told(self) -> str:
        """The fault in a few words."""
        what = {"card": "", "network": " (network)", "node": " (node)"}[self.kind]
        code = f", code {self.code}" if self.code else ""
        return f"{self.device or 'the node'}{what}: {self.handling}{code}"


def device_faults(config_map: Mapping[str, Any]) -> tuple[Fault, ...]:
    """The faults in a device plugin's ConfigMap; () where it holds none, or nonsense."""
    data = config_map.get("data") or {}
    found = [*_listed(data), *_separated(data)]
    # What is told with its cause needs no second line.
    explained = {(fault.device, fault.kind) for fault in found if fault.handling != "Unhealthy"}
    kept = {
        fault
        for fault in found
        if fault.handling != "Unhealthy" or (fault.device, fault.kind) not in explained
    }
    return tuple(sorted(kept))[:_FAULTS]


def unhealthy_devices(pod: Mapping[str, Any]) -> tuple[str, ...]:
    """The devices of a pod that the kubelet itself calls unhealthy."""
    found = [
        _text(resource.get("resourceID"))
        for container in (pod.get("status") or {}).get("containerStatuses") or []
        for held in container.get("allocatedResourcesStatus") or []
        for resource in held.get("resources") or []
        if resource.get("health") == "Unhealthy"
    ]
    return tuple(filter(None, found[:_FAULTS]))


def ends_work(fault: Fault, *, across_nodes: bool) -> bool:
    """Whether a server on that NPU can't go on.

    Args:
        fault: The fault.
        across_nodes: Whether it computes on several nodes: inside one, NPUs talk over HCCS, and
            their network ports don't matter.
    """
    if fault.handling not in _ENDS_WORK:
        return False
    return fault.kind == "card" or (fault.kind == "network" and across_nodes)


def _listed(data: Mapping[str, Any]) -> Iterator[Fault]:
    devices = _object(_object(data.get("DeviceInfoCfg")).get("DeviceInfo")).get("DeviceList")
    for key, text in _object(devices).items():
        if key.endswith("-Fault"):
            yield from _faults(text)
        elif key.endswith("-NetworkUnhealthy"):
            yield from (Fault(name, "network", "Unhealthy", "") for name in _names(text))
        elif key.endswith("-Unhealthy"):
            yield from (Fault(name, "card", "Unhealthy", "") for name in _names(text))


def _separated(data: Mapping[str, Any]) -> Iterator[Fault]:
    for name in _names(data.get("ManuallySeparateNPU")):
        yield Fault(name, "card", "ManuallySeparateNPU", "")


def _faults(text: object) -> Iterator[Fault]:
    value = _json(text)
    for item in value[:_FAULTS] if isinstance(value, list) else []:
        kind = _KINDS.get(str(item.get("fault_type"))) if isinstance(item, dict) else None
        if kind is None:
            continue
        handling = _text(item.get("fault_handling")) or _text(item.get("fault_level"))
        yield Fault(
            _text(item.get("npu_name")),
            kind,
            handling or "Unhealthy",
            _text(item.get("fault_code")),
        )


def _names(text: object) -> list[str]:
    names = text.split(",", _FAULTS)[:_FAULTS] if isinstance(text, str) else []
    return [name for name in map(_text, names) if name]


def _object(value: object) -> Mapping[str, Any]:
    value = _json(value) if isinstance(value, str) else value
    return value if isinstance(value, dict) else {}


def _json(text: object) -> Any:
    if not isinstance(text, str) or len(text) > _LONGEST:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _text(value: object) -> str:
    return one_line(value).strip()[:_TEXT] if isinstance(value, str) else ""
