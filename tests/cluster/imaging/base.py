"""The base image where none can be pulled: Debian's or Ubuntu's Python, and little around it."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from cluster.commands import run, succeeds
from cluster.errors import ClusterError
from cluster.host import Tool, require
from cluster.imaging.host import image_cache, keep_newest, own_mounts

__all__ = ["Base", "base_key", "make_base"]

# The last two are vLLM's, half a megabyte: a build has no network to install them by.
_PACKAGES = ("python3", "python3-venv", "ca-certificates", "libnuma1", "libtcmalloc-minimal4")
_TOOLS = (Tool("debootstrap", "debootstrap"), Tool("unshare", "util-linux"))
_OLDEST_PYTHON = (3, 11)
_KEPT = 2
_FALLBACK_SUITE = "bookworm"  # on a host that is neither Debian nor Ubuntu
_MAKE_TIMEOUT = 900.0  # seconds; 40 from a near mirror

# Half of what debootstrap leaves: packages' files and lists, texts, translations.
_TRIMMED = (
    "usr/share/doc",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/bash-completion",
    "var/cache/apt",
    "var/cache/debconf",
    "var/lib/apt/lists",
    "var/log",
)

_DESCRIBE = (
    "import json, platform, sys; "
    "print(json.dumps({'python': sys.version_info[:2], 'glibc': platform.libc_ver()[1]}))"
)


@dataclass(frozen=True)
class Base:
    """A root file system, ready to be the lowest layer.

    Attributes:
        key: Changes when it would be made otherwise.
        archive: The tar file.
        python: Its Python, `3.11`.
        glibc: Its C library, `2.36`.
    """

    key: str
    archive: Path
    python: str
    glibc: str


@dataclass(frozen=True)
class _Source:
    """Where the packages come from: the host's own release and mirror, as its apt knows them."""

    suite: str
    mirror: str | None


def base_key() -> str:
    """12 hex digits of what the base is made of; costs no more than a look at the host's apt."""
    return _key(_host_source())


def make_base() -> Base:
    """The base, made now unless the cache has it (40 s, 55 MB of downloads).

    Raises:
        ClusterError: It cannot be made here.
    """
    source = _host_source()
    key = _key(source)
    folder = image_cache() / f"base-{key}"
    if not (folder / "facts.json").exists():
        _make(source, folder)
    keep_newest("base-*", _KEPT, folder)
    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    return Base(key=key, archive=folder / "rootfs.tar", **facts)


def _key(source: _Source) -> str:
    recipe = repr((asdict(source), _PACKAGES, _TRIMMED, platform.machine()))
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]


def _host_source() -> _Source:
    """The suite and mirror of the host's apt; debootstrap's own defaults where it has none."""
    release = platform.freedesktop_os_release() if Path("/etc/os-release").exists() else {}
    suite = release.get("VERSION_CODENAME", "")
    if release.get("ID") not in ("debian", "ubuntu") or not suite:
        return _Source(_FALLBACK_SUITE, None)
    if not succeeds(["apt-get", "--version"]):
        return _Source(suite, None)
    form = "$(CODENAME) $(COMPONENT) $(REPO_URI)"
    listed = run(["apt-get", "indextargets", "--format", form, "Identifier: Packages"])
    for line in listed.splitlines():
        codename, component, *uri = line.split()
        if codename == suite and component == "main" and uri and uri[0].startswith("http"):
            return _Source(suite, uri[0])
    return _Source(suite, None)


def _make(source: _Source, folder: Path) -> None:
    if os.geteuid() != 0:
        raise ClusterError("the base image is made by debootstrap, which needs root; or use Docker")
    require(_TOOLS)
    print(f"making the base image ({source.suite}, about a minute) ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=image_cache(), prefix="debootstrap-") as scratch:
        root = Path(scratch, "rootfs")
        made = Path(scratch, "made")
        made.mkdir()
        wanted = ["--variant=minbase", f"--include={','.join(_PACKAGES)}"]
        components = ["--components=main,universe"] if "ubuntu" in (source.mirror or "") else []
        where = [source.suite, str(root), *([source.mirror] if source.mirror else [])]
        run(own_mounts("debootstrap", *wanted, *components, *where), timeout=_MAKE_TIMEOUT)
        facts = _facts(root)
        for path in _TRIMMED:
            shutil.rmtree(root / path, ignore_errors=True)
        (root / "var/log").mkdir(exist_ok=True)
        archive = made / "rootfs.tar"
        run(["tar", "--numeric-owner", "--sort=name", "-C", str(root), "-cf", str(archive), "."])
        (made / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        made.rename(folder)


def _facts(root: Path) -> dict[str, str]:
    said = json.loads(run(["chroot", str(root), "python3", "-c", _DESCRIBE]))
    major, minor = said["python"]
    if (major, minor) < _OLDEST_PYTHON:
        raise ClusterError(
            f"this distribution's Python is {major}.{minor}, the images need 3.11 or newer: "
            "use a newer release, or a Docker engine"
        )
    return {"python": f"{major}.{minor}", "glibc": said["glibc"]}
