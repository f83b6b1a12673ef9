"""Puts the package, which is outside this folder, into the wheel of `ascendllm-simulator`."""

from __future__ import annotations

from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

_PACKAGE = "../../operator/ascendllm_simulator"


class PackageHook(BuildHookInterface):
    """Adds the package's files to a wheel; an editable installation uses them where they are."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called by hatchling before a build.

        Args:
            version: `standard` or `editable`.
            build_data: What the builder reads; changed in place.
        """
        if version == "standard":
            build_data["force_include"][_PACKAGE] = "ascendllm_simulator"
