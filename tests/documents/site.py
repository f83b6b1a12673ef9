"""The site: mkdocs in an environment of its own, and what the pages may refer to."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from html.parser import HTMLParser
from pathlib import Path

from cluster.commands import environment as inherited
from cluster.commands import run
from cluster.errors import ClusterError
from cluster.paths import REPOSITORY
from cluster.python_environment import PythonEnvironment
from documents.command_reference import commands_page
from documents.resource_reference import spec_page, status_page

__all__ = ["DOCS", "ENVIRONMENT", "REFERENCES", "SITE", "build", "external_resources"]

DOCS = REPOSITORY / "docs"
SITE = REPOSITORY / "build" / "site"

ENVIRONMENT = PythonEnvironment(
    name="documents",
    requirements=DOCS / "requirements.txt",
    what="mkdocs (half a minute)",
    timeout=600,
)

REFERENCES: Mapping[Path, Callable[[], str]] = {
    DOCS / "reference" / "resource.md": spec_page,
    DOCS / "reference" / "status.md": status_page,
    DOCS / "reference" / "commands.md": commands_page,
}
"""The generated pages."""

_LOADING = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src"}
"""The attribute by which each element makes a browser fetch something."""
_FETCHING_CSS = re.compile(r"(?:url\(|@import )\s*['\"]?((?:https?:)?//[^'\")]+)")


def build() -> None:
    """Build the site into `SITE`.

    Raises:
        ClusterError: mkdocs warns or fails, or a page would fetch something from another host.
    """
    mkdocs = ENVIRONMENT.install() / "bin" / "mkdocs"
    run(
        [str(mkdocs), "build", "--strict", "--clean", f"--config-file={REPOSITORY / 'mkdocs.yml'}"],
        timeout=300,
        env=inherited() | {"NO_MKDOCS_2_WARNING": "1"},
    )
    external = list(external_resources(SITE))
    if external:
        listed = "\n".join(external)
        raise ClusterError(f"pages of the site fetch from other hosts:\n{listed}")


def external_resources(site: Path) -> Iterator[str]:
    """What a browser would fetch from another host, as `FILE: URL`; links do not count."""
    for file in sorted(site.rglob("*")):
        if file.suffix == ".html":
            parser = _Resources()
            parser.feed(file.read_text("utf-8"))
            found = parser.found
        elif file.suffix == ".css":
            found = _FETCHING_CSS.findall(file.read_text("utf-8"))
        else:
            continue
        for address in found:
            if re.match(r"(?:https?:)?//", address):
                yield f"{file.relative_to(site)}: {address}"


class _Resources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(_LOADING.get(tag, ""))
        if address and given.get("rel") != "canonical":
            self.found.append(address)
