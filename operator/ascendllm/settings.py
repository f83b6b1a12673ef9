"""The operator's settings: ConfigMap `ascendllm-operator`, given to the pod as environment.

Each key of the ConfigMap arrives as `ASCENDLLM_<key>`. A setting that is missing or malformed stops
the operator at start with a message that names it: a controller that runs on a guess does harm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from ascendllm.api.scalars import parse_duration
from ascendllm.api.sources import DataSource
from ascendllm.exceptions import SettingsError

__all__ = ["DRIVER_PATHS", "PREFIX", "Settings"]

PREFIX = "ASCENDLLM_"

_ADDRESS = r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
"""No user, no query: it stands in objects that many may read."""


DRIVER_PATHS = ("/usr/local/Ascend/driver/", "/usr/local/dcmi/", "/usr/local/bin/npu-smi")
"""What Ascend Docker Runtime mounts, too (its base.list), with the driver's folder whole: its
version.info and tools are looked for beside its libraries. Nothing of vLLM-Ascend reads
/etc/ascend_install.info, so a node without one is no reason to keep a pod waiting."""


class Settings(BaseModel):
    """What the operator's owner decides for the whole cluster."""

    model_config = ConfigDict(
        alias_generator=to_camel, populate_by_name=True, extra="forbid", frozen=True
    )

    host_path_prefixes: tuple[str, ...] = ()
    """Folders of the nodes under which a resource may name a host path; none by default."""

    runtime_repository: Annotated[str, Field(min_length=1)] = "quay.io/ascend/vllm-ascend"
    """The repository of the vLLM-Ascend images, such as a private mirror's."""

    runtime_version: Annotated[str, Field(min_length=1)] = "v0.18.0rc1"
    """The version that a resource without `runtime.version` gets when it is first resolved."""

    validator_image: Annotated[str, Field(min_length=1)] = "ascendllm/validator:0.1.0"
    """The image of the validation jobs."""

    evals_image: Annotated[str, Field(min_length=1)] = "ascendllm/evals:0.1.0"
    """The image of the evaluations: the validation jobs' with lm-eval."""

    driver_paths: tuple[str, ...] = DRIVER_PATHS
    """The NPU driver's files on the nodes, mounted where `runtime.driverMounts` is hostPath; a
    folder's path ends with a slash."""

    downloader_image: Annotated[str, Field(min_length=1)] = "ascendllm/downloader:0.1.0"
    """The image of the jobs that download models."""

    downloader_env: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    """Variables of those jobs, such as HTTPS_PROXY and NO_PROXY; no place for secrets."""

    mmlu_data: DataSource | None = None
    """The MMLU data for resources that name none."""

    prometheus_address: Annotated[str, Field(max_length=256, pattern=_ADDRESS)] | None = None
    """Prometheus, for KEDA to ask: where both are, KEDA scales what has `autoscaling`."""

    hang_timeout: str = "6m"
    """How long an engine that has requests may make no step before its pod is replaced; 0s: never.
    vLLM itself gives a step 5 minutes (VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS) where several processes
    compute, and ends; the longest prefills and compilations stay below that."""

    @field_validator("hang_timeout")
    @classmethod
    def _duration(cls, value: str) -> str:
        seconds = parse_duration(value).total_seconds()
        if seconds != 0 and not 10 <= seconds <= 86_400:
            raise ValueError(f"{value!r} must be 0s, or from 10s to 24h")
        return value

    @field_validator("host_path_prefixes", "driver_paths", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(
                part.strip() for part in value.replace("\n", ",").split(",") if part.strip()
            )
        return value

    @field_validator("host_path_prefixes", "driver_paths")
    @classmethod
    def _absolute(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for prefix in value:
            path = PurePosixPath(prefix)
            if not path.is_absolute() or ".." in path.parts:
                raise ValueError(f"{prefix!r} must be an absolute path without '..'")
        return value

    @field_validator("driver_paths")
    @classmethod
    def _not_the_root(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if any(not path.strip("/") for path in value):
            raise ValueError("'/' is the node's whole disk: name the driver's folders and files")
        return value

    @field_validator("mmlu_data", "downloader_env", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        if isinstance(value, str):
            return yaml.safe_load(value) if value.strip() else None
        return value

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """The settings from the ConfigMap's keys; an empty text means unset.

        Raises:
            SettingsError: A key is unknown or its value malformed.
        """
        given = {key: value for key, value in values.items() if value not in ("", None)}
        try:
            return cls.model_validate(given)
        except (ValidationError, yaml.YAMLError) as error:
            raise SettingsError(
                f"the operator's settings (ConfigMap ascendllm-operator) are wrong: {error}; known "
                f"keys are {', '.join(sorted(_keys()))}"
            ) from error

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """The settings from variables named `ASCENDLLM_<key>`; others are left alone.

        Raises:
            SettingsError: A value is malformed.
        """
        keys = _keys()
        return cls.from_mapping(
            {key: environment[PREFIX + key] for key in keys if PREFIX + key in environment}
        )

    def allows_host_path(self, path: str) -> bool:
        """Whether the path is one of the prefixes or lies under one, by whole components."""
        wanted = PurePosixPath(path)
        if ".." in wanted.parts:
            return False
        return any(
            wanted.is_relative_to(PurePosixPath(prefix)) for prefix in self.host_path_prefixes
        )


def _keys() -> list[str]:
    return [field.alias or name for name, field in Settings.model_fields.items()]
