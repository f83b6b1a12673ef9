"""`python tests/documents reference` writes the generated pages; `build` builds the site."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

# Run as a folder, Python looks for modules in it; they are found as a package, from its parent.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cluster.errors import ClusterError  # noqa: E402
from documents.site import REFERENCES, SITE, build  # noqa: E402


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="documents")
    parser.add_argument("command", choices=["reference", "build"])
    parser.add_argument("--to", type=Path, help="another folder for the generated pages")
    options = parser.parse_args()
    if options.command == "reference":
        for file, page in REFERENCES.items():
            written = options.to / file.name if options.to else file
            written.parent.mkdir(exist_ok=True)
            written.write_text(page(), encoding="utf-8")
        return 0
    try:
        build()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(SITE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
