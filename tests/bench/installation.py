"""A control plane with our CRD, and the operator's account with the rights that it has there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cluster.control_plane import ControlPlane
from cluster.paths import REPOSITORY

__all__ = ["NAMESPACE", "Installation", "install"]

NAMESPACE = "ascendllm-system"
_ACCOUNT = "ascendllm-operator"
_RIGHTS = ("namespace.yaml", "service-account.yaml", "role.yaml", "lease-role.yaml")


@dataclass(frozen=True)
class Installation:
    """Everything of the operator but its process.

    Attributes:
        plane: The API server.
        kubeconfig: The operator's.
        user: The operator, as the audit log names it.
    """

    plane: ControlPlane
    kubeconfig: Path
    user: str = f"system:serviceaccount:{NAMESPACE}:{_ACCOUNT}"


@contextmanager
def install() -> Iterator[Installation]:
    """Bring it up; gone when left."""
    with ControlPlane(manifests=[REPOSITORY / "crds" / "ascendllms.yaml"]) as plane:
        base = REPOSITORY / "manifests" / "base"
        files = [f"--filename={base / name}" for name in _RIGHTS]
        plane.kubectl("apply", "--server-side", *files)
        yield Installation(plane, plane.kubeconfig_for(NAMESPACE, _ACCOUNT))
