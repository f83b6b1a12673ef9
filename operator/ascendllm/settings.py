"""The operator's settings: ConfigMap `ascendllm-operator`, given to the pod as environment.

Each key of the ConfigMap arrives as `ASCENDLLM_<key>`. A setting that is missing or malformed stops
the operator at start with a message that names it: a controller that runs on a guess does harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.alias_generators import to_camel

from ascendllm import __version__
from ascendllm.api.scalars import parse_duration
from ascendllm.api.sources import DataSource
from ascendllm.exceptions import SettingsError

__all__ = ["DRIVER_PATHS", "PREFIX", "JobImage", "Settings"]

PREFIX = "ASCENDLLM_"

_ADDRESS = r"^https?://[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?(:[0-9]{1,5})?(/[A-Za-z0-9._~/-]*)?$"
"""No user, no query: it stands in objects that many may read."""

_REPOSITORY = (
    r"(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?)(:[0-9]{1,5})?"
    r"(/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*"
)
"""A registry and a path in it, as image references are written, without a tag or a digest."""

_SYSTEM_FOLDERS = (
    "/bin",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/lib64",
    "/proc",
    "/root",
    "/run",
    "/sbin",
    "/sys",
    "/tmp",  # noqa: S108
    "/usr",
    "/var/lib/containerd",
    "/var/lib/docker",
    "/var/lib/etcd",
    "/var/lib/kubelet",
    "/var/run",
    "/var/tmp",  # noqa: S108
)
"""Folders of a node that hold its credentials, its programs, its kernel's interfaces or files of
other pods, or in which every user may create a symlink."""

_DRIVER_FOLDER = PurePosixPath("/usr/local/Ascend")
"""The NPU driver and toolkit are under /usr, but pods may read them anyway."""

JobImage = Literal["validator", "downloader", "evals"]
"""The images that the operator's jobs run; each is named like its folder in images/."""

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
    """Folders of the nodes under which a resource may name a host path; none by default. The node
    follows symlinks below them, so tenants must not be able to write there."""

    runtime_repository: Annotated[str, Field(min_length=1)] = "quay.io/ascend/vllm-ascend"
    """The repository of the vLLM-Ascend images, such as a private mirror's."""

    runtime_version: Annotated[str, Field(min_length=1)] = "v0.18.0rc1"
    """The version that a resource without `runtime.version` gets when it is first resolved."""

    image_repository: Annotated[str, Field(max_length=200)] | None = None
    """Where the project's images were pushed, such as `registry.example.com/ascendllm`: fills those
    of the three settings below that are unset, with the version of this package as the tag. There
    is no default: a public name that nobody owns is one that anybody can register."""

    validator_image: Annotated[str, Field(min_length=1)] | None = None
    """The image of the validation jobs."""

    evals_image: Annotated[str, Field(min_length=1)] | None = None
    """The image of the evaluations: the validation jobs' with lm-eval."""

    downloader_image: Annotated[str, Field(min_length=1)] | None = None
    """The image of the jobs that download models."""

    downloader_env: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    """Variables of those jobs, such as HTTPS_PROXY and NO_PROXY; no place for secrets."""

    driver_paths: tuple[str, ...] = DRIVER_PATHS
    """The NPU driver's files on the nodes, mounted where `runtime.driverMounts` is hostPath; a
    folder's path ends with a slash."""

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

    @field_validator("host_path_prefixes", "driver_paths")
    @classmethod
    def _not_the_root(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for path in value:
            if len(PurePosixPath(path).parts) == 1:
                raise ValueError(f"{path!r} is the node's whole disk: name folders below it")
        return value

    @field_validator("image_repository")
    @classmethod
    def _repository(cls, value: str | None) -> str | None:
        if value is None:
            return None
        repository = value.rstrip("/")
        registry = repository.partition("/")[0]
        # A name without a registry is completed with one that the node's configuration chooses,
        # mostly Docker Hub, where the first part belongs to whoever registers it.
        is_registry = "." in registry or ":" in registry or registry == "localhost"
        if not is_registry or re.fullmatch(_REPOSITORY, repository) is None:
            raise ValueError(
                f"{value!r} must be a registry and a path in it, without a scheme, a tag or a "
                "digest, such as registry.example.com/ascendllm or docker.io/example"
            )
        return repository

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

    def image_of(self, name: JobImage) -> str | None:
        """The image of the jobs of that name; None if neither of its settings is set."""
        images: Mapping[JobImage, str | None] = {
            "validator": self.validator_image,
            "downloader": self.downloader_image,
            "evals": self.evals_image,
        }
        if images[name] is not None or self.image_repository is None:
            return images[name]
        return f"{self.image_repository}/{name}:{__version__}"

    def warnings(self) -> Iterator[str]:
        """Settings that are valid and dangerous, each as a sentence for the operator's log."""
        for prefix in self.host_path_prefixes:
            relation = _relation_to_system(prefix)
            if relation is not None:
                yield (
                    f"hostPathPrefixes: {prefix} {relation}, a system folder of the nodes: every "
                    "resource may mount what is there, read by root; name a folder that holds only "
                    "models and data and that no tenant can write to"
                )

    def allows_host_path(self, path: str) -> bool:
        """Whether the path is one of the prefixes or lies under one, by whole components."""
        wanted = PurePosixPath(path)
        if ".." in wanted.parts:
            return False
        return any(
            wanted.is_relative_to(PurePosixPath(prefix)) for prefix in self.host_path_prefixes
        )


def _relation_to_system(prefix: str) -> str | None:
    """How a prefix meets a system folder, such as `lies under /etc`; None if it meets none."""
    # Two slashes at the front, which PurePosixPath keeps, mean one to Linux.
    path = PurePosixPath(f"/{prefix.lstrip('/')}")
    if path.is_relative_to(_DRIVER_FOLDER):
        return None
    for folder in _SYSTEM_FOLDERS:
        if path == PurePosixPath(folder):
            return f"is {folder}"
        if path.is_relative_to(folder):
            return f"lies under {folder}"
        if PurePosixPath(folder).is_relative_to(path):
            return f"contains {folder}"
    return None


def _keys() -> list[str]:
    return [field.alias or name for name, field in Settings.model_fields.items()]
