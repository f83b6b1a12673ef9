"""Images written without a builder: one static program alone, or files on top of another image."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["write_image", "write_image_on"]

_OCI = "application/vnd.oci.image"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def write_image(archive: Path, name: str, program: Path) -> None:
    """Write an OCI archive whose image runs a static program as nobody.

    Args:
        archive: The file to write.
        name: The image's full name, with its tag.
        program: The only file in the image; its entry point.
    """
    layer = _tar({program.name: program.read_bytes()}, mode=0o755)
    config = {
        "architecture": _ARCHITECTURES.get(platform.machine(), platform.machine()),
        "os": "linux",
        "config": {"Entrypoint": [f"/{program.name}"], "User": "65535:65535"},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]},
    }
    blobs = _Blobs()
    _write(archive, name, config, [blobs.add(f"{_OCI}.layer.v1.tar", layer)], blobs)


def write_image_on(base: Path, archive: Path, name: str, files: Mapping[str, bytes]) -> None:
    """Write an OCI archive of another one's image with files on top.

    Args:
        base: The other one, with one image in it.
        archive: The file to write.
        name: The new image's full name, with its tag.
        files: By their paths, without the first slash.
    """
    with tarfile.open(base) as tar:
        blobs = _Blobs({member.name: _content(tar, member) for member in tar if member.isfile()})
    (described,) = json.loads(blobs.files["index.json"])["manifests"]
    manifest = blobs.read(described)
    config = blobs.read(manifest["config"])
    layer = _tar(dict(files), mode=0o644)
    config["rootfs"]["diff_ids"].append(f"sha256:{hashlib.sha256(layer).hexdigest()}")
    config.pop("history", None)  # it would have to tell of the new layer
    layers = [*manifest["layers"], blobs.add(f"{_OCI}.layer.v1.tar", layer)]
    _write(archive, name, config, layers, blobs)


class _Blobs:
    """The archive's content-addressed files."""

    def __init__(self, files: Mapping[str, bytes] | None = None) -> None:
        self.files = dict(files or {})

    def read(self, descriptor: Mapping[str, Any]) -> dict[str, Any]:
        """A JSON document among them."""
        return dict(json.loads(self.files[f"blobs/{descriptor['digest'].replace(':', '/')}"]))

    def add(self, media_type: str, content: bytes) -> dict[str, Any]:
        """Add one and return its descriptor."""
        digest = hashlib.sha256(content).hexdigest()
        self.files[f"blobs/sha256/{digest}"] = content
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content)}


def _write(
    archive: Path, name: str, config: dict[str, Any], layers: list[dict[str, Any]], blobs: _Blobs
) -> None:
    manifest = {
        "schemaVersion": 2,
        "mediaType": f"{_OCI}.manifest.v1+json",
        "config": blobs.add(f"{_OCI}.config.v1+json", json.dumps(config).encode()),
        "layers": layers,
    }
    described = blobs.add(f"{_OCI}.manifest.v1+json", json.dumps(manifest).encode())
    described["annotations"] = {"org.opencontainers.image.ref.name": name}
    files = {
        **blobs.files,
        "oci-layout": json.dumps({"imageLayoutVersion": "1.0.0"}).encode(),
        "index.json": json.dumps({"schemaVersion": 2, "manifests": [described]}).encode(),
    }
    archive.write_bytes(_tar(files, mode=0o644))


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = tar.extractfile(member)
    return file.read() if file is not None else b""


def _tar(files: dict[str, bytes], mode: int) -> bytes:
    """A tar archive that depends on nothing but its content: no times, no owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            entry.mode = mode
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()
