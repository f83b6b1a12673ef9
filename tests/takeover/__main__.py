"""`python tests/takeover REVISION [SCENARIO ...]`: records fixtures; see README.md."""

from __future__ import annotations

import sys
from pathlib import Path

# Run as a folder, Python looks for modules in it; they are found as a package, from its parent.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from takeover.record import main  # noqa: E402

sys.exit(main(sys.argv[1:]))
