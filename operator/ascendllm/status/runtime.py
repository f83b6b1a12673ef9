"""What serves: image, versions, chip and NPUs.

While pods are there, they say it. Else the newest run of the revision does: the record of what
served when it started.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.decide.decision import Decision
from ascendllm.state.observed import Observed
from ascendllm.state.pods import runtime_facts
from ascendllm.status.text import shortened

__all__ = ["runtime_status"]

_TEXTS = ("imageID", "vllm", "vllmAscend", "torchNpu", "transformers", "cann", "soc", "arch")
_CHOSEN = ("version", "variant", "generation", "chip", "memory")
"""What the revision's record says of how its image was chosen."""
_TEXT_BYTES = 80
_IMAGE_ID_BYTES = 600


def runtime_status(
    observed: Observed, decision: Decision, most_devices: int
) -> dict[str, Any] | None:
    """`status.runtime` of the spec's revision; None before there is one.

    Args:
        observed: What is there.
        decision: What was decided.
        most_devices: How many NPUs are named.
    """
    revision = decision.revision
    if revision is None:
        return None
    facts: Mapping[str, Any] = runtime_facts(observed.pods_of(revision.hash))
    if not facts:
        runs = (run for run in observed.runs if run.revision == revision.hash and run.runtime)
        facts = next((run.runtime for run in runs), {})
    runtime: dict[str, Any] = {"image": revision.image}
    for key in _CHOSEN:
        if isinstance(value := revision.resolved.get(key), str):
            runtime[key] = shortened(value, _TEXT_BYTES)
    for key in _TEXTS:
        value = facts.get(key)
        if isinstance(value, str) and value:
            runtime[key] = shortened(value, _IMAGE_ID_BYTES if key == "imageID" else _TEXT_BYTES)
    if "vllm" not in runtime and (version := _version_asked(decision)) is not None:
        runtime["vllm"] = version
    devices = facts.get("devices")
    if isinstance(devices, list):
        named = [shortened(item, _TEXT_BYTES) for item in devices if isinstance(item, str)]
        if named[:most_devices]:
            runtime["devices"] = named[:most_devices]
    return runtime


def _version_asked(decision: Decision) -> str | None:
    """What the server itself answered to a check."""
    for state in decision.states:
        version = state.result.figures.get("vllm") if state.result is not None else None
        if isinstance(version, str):
            return shortened(version, _TEXT_BYTES)
    return None
