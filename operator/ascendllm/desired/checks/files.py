"""Where a job finds what it reads: mounted data, data in S3, and references."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ascendllm.api.checks.reference import Reference
from ascendllm.api.sources import DataFiles, S3Source
from ascendllm.desired.checks.call import SCRATCH
from ascendllm.desired.sources import DATA_PATH, Mounted, mount_data, mount_key

__all__ = ["Files", "data_files", "reference_file"]

S3_SCRATCH = "4Gi"
"""What is fetched from S3 (2 GiB at most) lies in /tmp while it is read."""

_REFERENCE = "/reference"


@dataclass(frozen=True)
class Files:
    """Files that a job reads.

    Attributes:
        arguments: The options that name them.
        mounted: What is mounted.
        env: Keys, where they lie in S3.
        scratch: The size limit of the job's /tmp.
    """

    arguments: list[str] = field(default_factory=list)
    mounted: list[Mounted] = field(default_factory=list)
    env: list[dict[str, Any]] = field(default_factory=list)
    scratch: str = SCRATCH

    def __add__(self, other: Files) -> Files:
        """Both; what says where the store is stands once, since it is the same for both."""
        return Files(
            [*self.arguments, *(item for item in other.arguments if item not in self.arguments)],
            [*self.mounted, *other.mounted],
            self.env or other.env,
            max(self.scratch, other.scratch, key=[SCRATCH, S3_SCRATCH].index),
        )


def data_files(source: DataFiles, path: str = DATA_PATH) -> Files:
    """A data set as `--data`."""
    if source.s3 is not None:
        return Files(
            [f"--data={source.s3.uri}", *_store(source.s3)], [], _keys(source.s3), S3_SCRATCH
        )
    mounted = mount_data(source, path=path)
    return Files([f"--data={mounted.path}"], [mounted])


def reference_file(reference: Reference, name: str) -> Files:
    """A file that an earlier run recorded, as `--reference`.

    Args:
        reference: Where it is.
        name: The file's name: the key of the ConfigMap, or the file in the folder.
    """
    if reference.config_map is not None:
        mounted = mount_key(reference.config_map, name, "reference", _REFERENCE)
        return Files([f"--reference={mounted.path}"], [mounted])
    assert reference.data is not None, "Reference holds exactly one place"  # noqa: S101
    s3 = reference.data.s3
    if s3 is not None:
        return Files([f"--reference={s3.uri}", *_store(s3)], [], _keys(s3), S3_SCRATCH)
    mounted = mount_data(reference.data, "reference", _REFERENCE)
    return Files([f"--reference={mounted.path}/{name}"], [mounted])


def _store(s3: S3Source) -> list[str]:
    arguments = []
    if s3.endpoint is not None:
        arguments.append(f"--data-endpoint={s3.endpoint}")
    if s3.region is not None:
        arguments.append(f"--data-region={s3.region}")
    return arguments


def _keys(s3: S3Source) -> list[dict[str, Any]]:
    """The keys as environment, straight from the Secret: the operator itself never reads it."""
    if s3.credentials_secret is None:
        return []
    secret = s3.credentials_secret.name
    return [
        {
            "name": variable,
            "valueFrom": {
                "secretKeyRef": {
                    "name": secret,
                    "key": key,
                    **({"optional": True} if optional else {}),
                }
            },
        }
        for variable, key, optional in (
            ("AWS_ACCESS_KEY_ID", "accessKeyId", False),
            ("AWS_SECRET_ACCESS_KEY", "secretAccessKey", False),
            ("AWS_SESSION_TOKEN", "sessionToken", True),
        )
    ]
