"""From nothing to a verified model: `python tests/cluster/demo.py up`, and `down`.

The model is the simulator's: it loads for some seconds, answers at a chosen pace and with a chosen
accuracy, and what the operator measures of it is printed at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

if __name__ == "__main__":  # run by its path: the package `cluster` is one folder up
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cluster import choice
from cluster.errors import ClusterError
from cluster.installation import MODELS, REPOSITORY, install, make_data, make_model, uninstall
from cluster.npu import Npus
from cluster.provider import Provider

NAME = "meta-llama-3-1-8b"
MODEL = "Meta-Llama-3.1-8B"
EXAMPLE = REPOSITORY / "manifests" / "examples" / f"{NAME}.yaml"
BEHAVIOUR = {"loadSeconds": 8, "ttftMs": 60, "itlMs": 22.0, "accuracy": 66.3}
"""The simulator's chosen figures: the table at the end shows what was measured of them."""

_READY = "600s"


def up() -> None:
    """Set up what is missing, apply the example, follow it, and show the proof."""
    cluster = choice.chosen("auto", None)
    with choice.one_at_a_time():
        choice.remember(cluster)
        _step("a cluster with NPUs", lambda: cluster.up(Npus()))
    _step("models and data on its node", lambda: _prepare(cluster))
    _step("images, and the operator", lambda: install(cluster))
    print(f"\n$ kubectl apply -f {EXAMPLE.relative_to(REPOSITORY)}", flush=True)
    print(cluster.kubectl("apply", "-f", str(EXAMPLE)), end="", flush=True)
    _ascendllm(cluster, "status", NAME, "--watch")
    print(f"\n$ kubectl wait --for=condition=Ready ascendllm/{NAME}", flush=True)
    print(
        cluster.kubectl(
            "wait", "--for=condition=Ready", f"ascendllm/{NAME}", f"--timeout={_READY}"
        ),
        end="",
    )
    print("\n$ kubectl get ascendllm")
    print(cluster.kubectl("get", "ascendllm"))
    print(f"$ ascendllm report {NAME}\n", flush=True)
    _ascendllm(cluster, "report", NAME)
    chosen = ", ".join(f"{key} {value}" for key, value in BEHAVIOUR.items())
    print(f"\nThe simulator's chosen figures: {chosen}.\n{cluster.description()}")
    print("`make demo-down` takes it down.")


def down() -> None:
    """Leave nothing behind."""
    with choice.one_at_a_time():
        cluster = choice.current()
        if cluster is not None:
            if not cluster.disposable:
                uninstall(cluster, [f"{MODELS}/{MODEL}"])
            cluster.down()
            choice.forget()


def _prepare(cluster: Provider) -> None:
    make_data(cluster)
    make_model(cluster, MODEL, BEHAVIOUR)


def _ascendllm(cluster: Provider, *arguments: str) -> None:
    command = [sys.executable, "-m", "ascendllm", *arguments, "--kubeconfig"]
    subprocess.run([*command, str(cluster.kubeconfig)], check=True, timeout=300)


def _step(what: str, work: Callable[[], None]) -> None:
    started = time.monotonic()
    print(f"{what} ...", flush=True)
    work()
    print(f"{what}: {time.monotonic() - started:.1f} s", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="demo.py", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("command", choices=["up", "down"])
    try:
        (up if parser.parse_args(arguments).command == "up" else down)()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
