"""Kubeconfig files that hold everything in themselves, so that they can be copied anywhere."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import Any

import yaml

from cluster.pki import KeyPair

__all__ = ["write_kubeconfig"]


def write_kubeconfig(
    path: Path,
    server: str,
    ca: Path,
    user: KeyPair | str,
    namespace: str = "default",
) -> Path:
    """Write a kubeconfig that only its owner can read.

    Args:
        path: The file to write.
        server: The API server's address, `https://host:port`.
        ca: The certificate of the authority that signed the server's.
        user: A client certificate, or a bearer token.
        namespace: The namespace of commands that name none.

    Returns:
        `path`.
    """
    who: dict[str, Any] = {"token": user} if isinstance(user, str) else _certificate(user)
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [_named("cluster", {"server": server, **_data("certificate-authority", ca)})],
        "users": [_named("user", who)],
        "contexts": [
            _named("context", {"cluster": _NAME, "user": _NAME, "namespace": namespace}),
        ],
        "current-context": _NAME,
    }
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        yaml.safe_dump(document, file)
    return path


_NAME = "ascendllm"


def _named(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    return {"name": _NAME, kind: value}


def _certificate(pair: KeyPair) -> dict[str, str]:
    return {**_data("client-certificate", pair.certificate), **_data("client-key", pair.key)}


def _data(field: str, file: Path) -> dict[str, str]:
    return {f"{field}-data": base64.b64encode(file.read_bytes()).decode()}
