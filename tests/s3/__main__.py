"""`python tests/s3`: installs the store, and prints its environment's folder."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a folder, Python looks for modules in it; they are found as a package, from its parent.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cluster.errors import ClusterError  # noqa: E402
from s3.store import ENVIRONMENT  # noqa: E402

if __name__ == "__main__":
    try:
        print(ENVIRONMENT.install())
    except ClusterError as error:
        sys.exit(f"error: {error}")
