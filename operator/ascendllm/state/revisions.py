"""Revisions, as their ControllerRevisions record them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.desired import names

__all__ = ["Revision"]


@dataclass(frozen=True)
class Revision:
    """A rendered template and what it was made from.

    Attributes:
        hash: The revision's name among its resource's objects.
        number: The highest number is the newest.
        inputs: The parts of the spec that it was made from.
        resolved: What the operator chose: image, version, variant, generation.
        template: The pod template, or those of a group's pods, without the revision's label.
    """

    hash: str
    number: int
    inputs: Mapping[str, Any]
    resolved: Mapping[str, Any]
    template: Mapping[str, Any]

    @classmethod
    def read(cls, item: Mapping[str, Any]) -> Revision | None:
        """The record of a ControllerRevision; None where it is not one that we can read."""
        data = item.get("data")
        revision = item["metadata"].get("labels", {}).get(names.REVISION)
        if not isinstance(data, Mapping) or not isinstance(revision, str):
            return None
        parts = [data.get(key) for key in ("inputs", "resolved", "template")]
        if not all(isinstance(part, Mapping) for part in parts):
            return None
        inputs, resolved, template = parts
        # The template is what the revision is named after: one that was tampered with is no record.
        if names.digest(template) != revision:
            return None
        if not item["metadata"]["name"].endswith(f"-{revision}"):
            # A copy, or somebody's own.
            return None
        return cls(revision, int(item.get("revision", 0)), inputs, resolved, template)  # type: ignore[arg-type]

    @property
    def image(self) -> str:
        """The image of the serving container."""
        return str(self.resolved.get("image", ""))
