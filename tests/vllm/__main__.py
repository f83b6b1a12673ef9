"""`python tests/vllm install`, and `python tests/vllm serve [FOLDER] [OPTIONS]`.

`install` prints the environment's folder. `serve` makes the tiny model in FOLDER unless it is
there, serves it on a free port as `tiny` until it is told to end, and prints its address.
"""

from __future__ import annotations

import signal
import sys
import tempfile
from pathlib import Path

# Run as a folder, Python looks for modules in it; they are found as a package, from its parent.
sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cluster.errors import ClusterError  # noqa: E402
from vllm.engine import OPTIONS, make_model, serving  # noqa: E402
from vllm.environment import install  # noqa: E402


def main(arguments: list[str]) -> int:
    """The command line."""
    try:
        if arguments == ["install"]:
            print(install())
            return 0
        if arguments[:1] == ["serve"]:
            _serve(arguments[1:])
            return 0
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(__doc__, file=sys.stderr)
    return 2


def _serve(arguments: list[str]) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as scratch:
        named = bool(arguments) and not arguments[0].startswith("-")
        folder = Path(arguments[0]) if named else Path(scratch, "tiny")
        if not (folder / "config.json").exists():
            make_model(folder)
        options = [*OPTIONS, *arguments[named:]]
        with serving(install(), folder.resolve(), Path(scratch, "log"), options) as engine:
            print(f"{engine.url} serves {engine.name} from {engine.model}", flush=True)
            signal.pause()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
