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
    if parser.parse_args().command == "reference":
        for file, page in REFERENCES.items():
            file.parent.mkdir(exist_ok=True)
            file.write_text(page(), encoding="utf-8")
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
