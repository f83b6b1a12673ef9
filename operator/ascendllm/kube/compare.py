"""Would an apply change anything?

An apply that changes nothing is still a request that the API server takes as a write, so what is
desired is compared with what is there first. Two things count: a desired field whose value is
another, and a field that we own (by managedFields) and desire no more. What the server has filled
in and what others own is theirs.

Of a list or a mapping that is owned as a whole managedFields do not tell what is in it: whatever
stands there beyond what is desired counts. Not so in a pod template, where the server fills in much
in such places, and which never changes: another revision has another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.api.scalars import parse_quantity
from ascendllm.desired.names import FIELD_MANAGER

__all__ = ["differs", "leftover"]

_QUANTITIES = frozenset({"averageValue", "limits", "requests", "sizeLimit"})
_TEMPLATES = frozenset({"template", "leaderWorkerTemplate"})
_SHARED = frozenset({"ownerReferences"})
"""Lists of which only our own elements are ours."""


def differs(
    desired: Mapping[str, Any],
    live: Mapping[str, Any],
    *,
    subresource: str = "",
    manager: str = FIELD_MANAGER,
) -> bool:
    """Whether applying `desired` would change `live`.

    Args:
        desired: The object as it would be applied.
        live: The object as the API server has it, managedFields included.
        subresource: `status` to look at what we own of the status.
        manager: As whom it would be applied.
    """
    if not _covers(live, desired, in_quantity=False):
        return True
    owned = _owned(live, subresource, manager)
    return owned is not None and _owns_more(owned, desired, live)


def leftover(desired: Mapping[str, Any], applied: Mapping[str, Any]) -> dict[str, Any]:
    """A merge patch for the lists that an apply could not bring to what is desired; {} for none.

    An apply leaves the elements that somebody else added where they are, such as a variable of
    `kubectl set env`. Owner references may be shared.

    Args:
        desired: The object as it was applied.
        applied: What the API server made of it.
    """
    patch: dict[str, Any] = {}
    for key, value in desired.items():
        live = applied.get(key)
        if isinstance(value, Mapping) and isinstance(live, Mapping):
            below = leftover(value, live)
            if below:
                patch[key] = below
        elif (
            isinstance(value, list)
            and key not in _SHARED
            and not _covers(live, value, in_quantity=False)
        ):
            patch[key] = value
    return patch


def _covers(live: Any, desired: Any, *, in_quantity: bool) -> bool:
    if isinstance(desired, Mapping):
        if not isinstance(live, Mapping):
            return False
        return all(
            key in live
            and (_holds if key in _SHARED else _covers)(
                live[key], value, in_quantity=in_quantity or key in _QUANTITIES
            )
            for key, value in desired.items()
        )
    if isinstance(desired, list | tuple):
        return (
            isinstance(live, list)
            and len(live) == len(desired)
            and all(
                _covers(one, other, in_quantity=in_quantity)
                for one, other in zip(live, desired, strict=True)
            )
        )
    if live == desired and type(live) is type(desired):
        return True
    if in_quantity:
        return _same_quantity(live, desired)
    # JSON has one kind of number: the server writes 66 for 66.0.
    numbers = isinstance(live, int | float) and isinstance(desired, int | float)
    return numbers and live == desired and isinstance(live, bool) == isinstance(desired, bool)


def _holds(live: Any, desired: Any, *, in_quantity: bool) -> bool:
    """Whether a list holds all that is desired, and perhaps more."""
    return isinstance(live, list) and all(
        any(_covers(item, wanted, in_quantity=in_quantity) for item in live) for wanted in desired
    )


def _same_quantity(live: Any, desired: Any) -> bool:
    try:
        return parse_quantity(str(live)) == parse_quantity(str(desired))
    except ValueError:
        return False


def _owned(live: Mapping[str, Any], subresource: str, manager: str) -> Mapping[str, Any] | None:
    for entry in live.get("metadata", {}).get("managedFields") or []:
        if (
            entry.get("manager") == manager
            and entry.get("operation") == "Apply"
            and entry.get("subresource", "") == subresource
        ):
            fields: Mapping[str, Any] = entry.get("fieldsV1") or {}
            return fields
    return None


def _owns_more(
    owned: Mapping[str, Any], desired: Any, live: Any, *, in_template: bool = False
) -> bool:
    """Whether we own something that `desired` does not hold.

    Args:
        owned: A part of managedFields' field set.
        desired: What is desired there.
        live: What is there.
        in_template: Whether it is of a pod template.
    """
    if not isinstance(owned, Mapping):
        return True
    for key, below in owned.items():
        if key == ".":
            continue
        kind, _, selector = key.partition(":")
        within = in_template
        if kind == "f":
            if not isinstance(desired, Mapping) or selector not in desired:
                return True
            within = in_template or selector in _TEMPLATES
            child, there = desired[selector], _field(live, selector)
        elif kind == "k":
            keys = _parsed(selector)
            child, there = _element(desired, keys), _element(live, keys)
            if child is None:
                return True
        elif kind == "v":
            if not isinstance(desired, Sequence) or _parsed(selector) not in desired:
                return True
            continue
        else:
            continue
        if below and _owns_more(below, child, there, in_template=within):
            return True
        if not below and not within and _holds_more(there, child):
            return True
    return False


def _holds_more(live: Any, desired: Any) -> bool:
    """Whether there is something beyond what is desired, of a list or a mapping."""
    if not isinstance(desired, Mapping | list | tuple):
        return False
    return not _covers(desired, live, in_quantity=False)


def _field(live: Any, name: str) -> Any:
    return live.get(name) if isinstance(live, Mapping) else None


def _parsed(selector: str) -> Any:
    """The JSON of a path element; None where it is not JSON: any client may write managedFields."""
    try:
        return json.loads(selector)
    except (ValueError, RecursionError):
        return None


def _element(desired: Any, keys: Any) -> Any:
    """The element of a list that bears these keys; a key that we leave out has its default."""
    if not isinstance(desired, list | tuple) or not isinstance(keys, dict):
        return None
    for item in desired:
        if isinstance(item, Mapping) and all(item.get(k, v) == v for k, v in keys.items()):
            return item
    return None
