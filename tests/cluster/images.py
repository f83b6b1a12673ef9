"""The project's images as archives that a node can import.

    python tests/cluster/images.py build [NAME …]   # prints one archive a line
    python tests/cluster/images.py list

An archive is found again by the hash of everything that goes into it, so an unchanged tree
builds nothing. Everything lies in the user's cache folder, nothing in the checkout.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run by its path: the package `cluster` is one folder up
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cluster.errors import ClusterError
from cluster.imaging.buildah import Buildah
from cluster.imaging.catalogue import Image, catalogue, content_key
from cluster.imaging.docker import Docker, docker_answers
from cluster.imaging.host import image_cache, keep_newest, one_at_a_time

__all__ = ["Archive", "archives", "build", "chosen"]

_KEPT = 3  # archives an image: the one in use, and those of two other checkouts or branches


@dataclass(frozen=True)
class Archive:
    """An image's archive, built or not.

    Attributes:
        image: What it holds.
        path: The file, in OCI's or Docker's layout; `ctr images import` reads both.
    """

    image: Image
    path: Path

    @property
    def reference(self) -> str:
        """What the node calls the image."""
        return self.image.reference


def archives() -> list[Archive]:
    """The archives of the tree as it is now; those that are not built yet do not exist."""
    return _archives(_builder())


def build(names: Sequence[str] = ()) -> list[Archive]:
    """Build what is missing.

    Args:
        names: Folders in images/; none: all but the large ones.

    Raises:
        ClusterError: A name is unknown, or an image cannot be built.
    """
    builder = _builder()
    wanted = chosen(_archives(builder), names)
    with one_at_a_time():
        for archive in wanted:
            if not archive.path.exists():
                _build(builder, archive)
            kept = 1 if archive.image.large else _KEPT
            keep_newest(f"{archive.image.folder}-*.tar", kept, archive.path)
        builder.trim()
    return wanted


def _builder() -> Buildah | Docker:
    return Docker() if docker_answers() else Buildah()


def _archives(builder: Buildah | Docker) -> list[Archive]:
    identity = builder.identity
    return [
        Archive(image, image_cache() / f"{image.folder}-{content_key(image, identity)}.tar")
        for image in catalogue()
    ]


def chosen(known: list[Archive], names: Sequence[str]) -> list[Archive]:
    """The archives of the named images; without names those of all but the large ones.

    Raises:
        ClusterError: A name is unknown.
    """
    by_name = {archive.image.folder: archive for archive in known}
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise ClusterError(f"no image {', '.join(unknown)}; there are {', '.join(by_name)}")
    if names:
        return [by_name[name] for name in names]
    return [archive for archive in known if not archive.image.large]


def _build(builder: Buildah | Docker, archive: Archive) -> None:
    started = time.monotonic()
    print(f"building {archive.reference} ...", file=sys.stderr)
    with tempfile.TemporaryDirectory(dir=image_cache(), prefix="archive-") as scratch:
        made = Path(scratch, "image.tar")
        builder.build(archive.image, made)
        made.rename(archive.path)
    size = archive.path.stat().st_size / 1e6
    seconds = time.monotonic() - started
    print(f"built {archive.reference}: {size:.0f} MB in {seconds:.0f} s", file=sys.stderr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="images.py", description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    builds = commands.add_parser("build", help="build what is missing, print the archives")
    builds.add_argument("names", nargs="*", metavar="NAME", help="a folder in images/")
    commands.add_parser("list", help="every image, and whether it is built")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "build":
            for archive in build(chosen.names):
                print(archive.path)
        else:
            for archive in archives():
                size = (
                    f"{archive.path.stat().st_size / 1e6:.0f} MB" if archive.path.exists() else "-"
                )
                print(
                    f"{archive.image.folder:10}  {archive.reference:48}  {size:>7}  {archive.path}"
                )
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
