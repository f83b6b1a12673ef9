"""What a serving pod says of itself: its image's versions, its model's numbers, its NPUs.

Both are written by others, an init container and the device plugins, so they are bounded and
cleaned before anything shows them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ascendllm.checks.result import one_line
from ascendllm.engine.model_numbers import ModelNumbers

__all__ = ["FACTS_CONTAINER", "device_names", "read_facts", "read_model", "shared_facts"]

FACTS_CONTAINER = "facts"
"""The init container whose termination message holds the versions."""

_KEYS = ("vllm", "vllmAscend", "torchNpu", "transformers", "cann", "soc", "arch")
_MESSAGE_BYTES = 4096
_TEXT_CHARACTERS = 64
_DEVICES = 64

_MOUNTED = ("huawei.com/AscendReal", "huawei.com/kltDev")
"""Annotations of MindCluster's device plugin, the most telling first: `Ascend910-4,Ascend910-5`."""
_CONFIGURATION = "ascend.kubectl.kubernetes.io/ascend-910-configuration"
"""JSON of the same plugin: `{"devices": [{"device_id": "4", …}], …}`."""
_SCHEDULED = "huawei.com/Ascend"
"""Volcano's annotation begins so: `huawei.com/Ascend910: Ascend910-4,Ascend910-5`."""
_HAMI = "-devices-allocated"
"""HAMi's annotation `hami.io/Ascend910B-devices-allocated` ends so: `uuid,type,memory,cores:;`."""


def read_facts(pod_status: Mapping[str, Any]) -> dict[str, str]:
    """The versions that the facts container of a pod wrote; {} where it has not, or nonsense.

    Args:
        pod_status: The pod's `.status`.
    """
    told = _told(pod_status)
    return {key: text for key in _KEYS if (text := _clean(told.get(key)))}


def read_model(pod_status: Mapping[str, Any]) -> ModelNumbers | None:
    """The model's numbers that the same container wrote; None where it has not, or nonsense."""
    return ModelNumbers.read(_told(pod_status).get("model"))


def device_names(annotations: Mapping[str, str]) -> tuple[str, ...]:
    """The NPUs that a pod was given, by name; () where no device plugin says it."""
    for key in _MOUNTED:
        if found := _listed(annotations.get(key)):
            return found
    if found := _configured(annotations.get(_CONFIGURATION)):
        return found
    for key in sorted(annotations):
        if key.endswith(_HAMI) and (found := _allocated(annotations[key])):
            return found
        if key.startswith(_SCHEDULED) and (found := _listed(annotations[key])):
            return found
    return ()


def shared_facts(facts: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """What all pods that know something of it say alike."""
    shared = {}
    for key in _KEYS:
        said = {one[key] for one in facts if key in one}
        if len(said) == 1:
            shared[key] = said.pop()
    return shared


def _told(pod_status: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the facts container wrote; {} where it has not, or nonsense."""
    statuses: Sequence[Mapping[str, Any]] = pod_status.get("initContainerStatuses") or []
    facts = next((item for item in statuses if item.get("name") == FACTS_CONTAINER), {})
    message = ((facts.get("state") or {}).get("terminated") or {}).get("message")
    if not isinstance(message, str) or len(message) > _MESSAGE_BYTES:
        return {}
    try:
        value = json.loads(message)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def _listed(text: object) -> tuple[str, ...]:
    """Names with commas between them; what can be no name is left out."""
    if not isinstance(text, str):
        return ()
    return _named(text.split(",", _DEVICES)[:_DEVICES])


def _allocated(text: object) -> tuple[str, ...]:
    """The uuids of `uuid,type,memory,cores:uuid,…:;`, a container between semicolons."""
    if not isinstance(text, str):
        return ()
    parts = text.replace(";", ":").split(":", _DEVICES)[:_DEVICES]
    return _named(part.split(",", 1)[0] for part in parts)


def _configured(text: object) -> tuple[str, ...]:
    if not isinstance(text, str) or len(text) > 64 * 1024:
        return ()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return ()
    devices = value.get("devices") if isinstance(value, dict) else None
    if not isinstance(devices, list):
        return ()
    found = (item.get("device_id") for item in devices[:_DEVICES] if isinstance(item, dict))
    return _named(f"Ascend910-{item}" for item in found if isinstance(item, str | int))


def _named(texts: Iterable[str]) -> tuple[str, ...]:
    cleaned = (_clean(text) for text in texts)
    plain = (text for text in cleaned if text and not set(text) & set("{}[]\"';"))
    return tuple(dict.fromkeys(plain))


def _clean(value: object) -> str:
    if not isinstance(value, str):
        return ""
    return one_line(value).strip()[:_TEXT_CHARACTERS]
