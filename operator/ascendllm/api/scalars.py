"""The bounded scalar types of the resource.

Every string, list and map that a user can write has a limit, since the API server prices CEL rules
by the largest value that a field admits and because no input may grow an object without bound.
"""

from __future__ import annotations

import re
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

__all__ = [
    "RESOURCE_NAME",
    "AbsolutePath",
    "Duration",
    "Hostname",
    "HubRepository",
    "HubRevision",
    "ImageReference",
    "KeyValue",
    "NamespaceName",
    "ObjectName",
    "Quantity",
    "RelativePath",
    "ResourceName",
    "SecretDataKey",
    "ServedName",
    "UrlPath",
    "cel",
    "parse_duration",
    "parse_quantity",
    "rules",
]


def cel(
    rule: str, message: str, *, path: str | None = None, reason: str = "FieldValueInvalid"
) -> dict[str, Any]:
    """One `x-kubernetes-validations` rule; `message` says what to change."""
    validation = {"rule": rule, "message": message, "reason": reason}
    if path is not None:
        validation["fieldPath"] = path
    return validation


def rules(*validations: dict[str, Any]) -> dict[str, Any]:
    """Rules as a part of a JSON schema."""
    return {"x-kubernetes-validations": list(validations)}


RESOURCE_NAME = r"^[a-z]([-a-z0-9]*[a-z0-9])?$"
"""The name of an AscendLLM; it has at most 36 characters."""

ObjectName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
]
"""The name of a Kubernetes object (an RFC 1123 subdomain)."""

NamespaceName = Annotated[
    str, Field(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
]
"""The name of a namespace (an RFC 1123 label)."""

SecretDataKey = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]*$")
]
"""A key of a Secret; it may be a file's name too."""

Hostname = Annotated[
    str,
    Field(
        min_length=1,
        max_length=253,
        pattern=r"^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    ),
]
"""A DNS name, whose first part may be `*`."""

UrlPath = Annotated[
    str, Field(min_length=1, max_length=256, pattern=r"^/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?$")
]
"""The path of a URL, without a slash at its end."""

_NO_WAY_UP: dict[str, Any] = {
    "x-kubernetes-validations": [
        cel(
            "!self.split('/').exists(part, part == '..')",
            "the path must not contain '..': write the folder itself",
        )
    ]
}

AbsolutePath = Annotated[
    str,
    Field(
        min_length=2,
        max_length=1024,
        pattern=r"^/[^\x00-\x1f]*$",
        json_schema_extra=_NO_WAY_UP,
    ),
]
"""An absolute path without `..`."""

RelativePath = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=r"^[^/\x00-\x1f][^\x00-\x1f]*$",
        json_schema_extra=_NO_WAY_UP,
    ),
]
"""A path below a folder, without `..`."""

ImageReference = Annotated[
    str, Field(min_length=1, max_length=512, pattern=r"^[a-zA-Z0-9][a-zA-Z0-9._:/@-]*$")
]

HubRepository = Annotated[
    str,
    Field(
        min_length=3,
        max_length=200,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*$",
    ),
]
"""A repository of a hub, `owner/name`."""

HubRevision = Annotated[
    str,
    Field(
        min_length=1,
        max_length=200,
        pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]*[A-Za-z0-9_-])?$",
    ),
]
"""A branch, a tag or a commit of a hub's repository."""

ResourceName = Annotated[
    str,
    Field(
        min_length=3,
        max_length=128,
        pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?$",
    ),
]
"""An extended resource, `domain/name`."""

KeyValue = Annotated[
    str, Field(max_length=63, pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$")
]
"""The value of a label."""

ServedName = Annotated[
    str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9][A-Za-z0-9._/:-]*$")
]
"""The name that a server answers to."""

_QUANTITY = r"^[0-9]{1,15}(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$"

Quantity = Annotated[str, Field(min_length=1, max_length=24, pattern=_QUANTITY)]
"""A Kubernetes quantity, such as `16Gi`."""

_DURATION = r"^([0-9]{1,5}h)?([0-9]{1,5}m)?([0-9]{1,6}s)?$"

Duration = Annotated[
    str,
    Field(
        min_length=2,
        max_length=20,
        pattern=_DURATION,
        json_schema_extra={
            "x-kubernetes-validations": [
                cel(
                    "duration(self) >= duration('10s') && duration(self) <= duration('168h')",
                    "must be from 10s to 168h, such as 30m or 1h30m",
                )
            ]
        },
    ),
]
"""A span of time of hours, minutes and seconds, such as `1h30m`."""

_SUFFIXES = {
    "": Decimal(1),
    "m": Decimal("0.001"),
    "k": Decimal(10) ** 3,
    "M": Decimal(10) ** 6,
    "G": Decimal(10) ** 9,
    "T": Decimal(10) ** 12,
    "P": Decimal(10) ** 15,
    "Ki": Decimal(2) ** 10,
    "Mi": Decimal(2) ** 20,
    "Gi": Decimal(2) ** 30,
    "Ti": Decimal(2) ** 40,
    "Pi": Decimal(2) ** 50,
}


def parse_duration(text: str) -> timedelta:
    """The length of a `Duration`.

    Raises:
        ValueError: The text is not a duration.
    """
    match = re.fullmatch(_DURATION, text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration such as 30m or 1h30m")
    hours, minutes, seconds = (int(part[:-1]) if part else 0 for part in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def parse_quantity(text: str) -> Decimal:
    """The value of a `Quantity` in its base unit.

    Raises:
        ValueError: The text is not a quantity.
    """
    if re.fullmatch(_QUANTITY, text) is None:
        raise ValueError(f"{text!r} is not a quantity such as 16Gi or 500m")
    digits = text.rstrip("mkMGTPKi")
    return Decimal(digits) * _SUFFIXES[text[len(digits) :]]
