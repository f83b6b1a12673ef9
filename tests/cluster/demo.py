"""From nothing to a verified model: `python tests/cluster/demo.py up`, and `down`.

The model is the simulator's: it loads for some seconds, answers at a chosen pace and with a chosen
accuracy, and what the operator measures of it is printed at the end. With `--engine vllm` it is
the real vLLM on CPU, serving a tiny model with random weights.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

if __name__ == "__main__":  # run by its path: the package `cluster` is one folder up
    sys.path[0] = str(Path(__file__).resolve().parent.parent)

from cluster import choice
from cluster.errors import ClusterError
from cluster.installation import (
    MODELS,
    REPOSITORY,
    install,
    make_data,
    make_model,
    make_tiny_model,
    uninstall,
)
from cluster.npu import Npus
from cluster.provider import Provider

BEHAVIOUR = {"loadSeconds": 8, "ttftMs": 60, "itlMs": 22.0, "accuracy": 66.3}
"""The simulator's chosen figures: the table at the end shows what was measured of them."""

_READY = "600s"


@dataclass(frozen=True)
class Demo:
    """What is shown.

    Attributes:
        name: The resource's name.
        resource: Its file.
        model: The model's folder, in the folder of models.
        prepare: Makes it, given a cluster and that folder's name.
        images: Folders in images/ of the images that it runs.
        note: What to know of the figures.
    """

    name: str
    resource: Path
    model: str
    prepare: Callable[[Provider, str], object]
    images: tuple[str, ...]
    note: str


DEMOS = {
    "simulator": Demo(
        name="meta-llama-3-1-8b",
        resource=REPOSITORY / "manifests" / "examples" / "meta-llama-3-1-8b.yaml",
        model="Meta-Llama-3.1-8B",
        prepare=lambda cluster, name: make_model(cluster, name, BEHAVIOUR),
        images=("operator", "validator", "simulator"),
        note="The simulator's chosen figures: "
        + ", ".join(f"{key} {value}" for key, value in BEHAVIOUR.items()),
    ),
    "vllm": Demo(
        name="tiny-llama",
        resource=REPOSITORY / "tests" / "cluster" / "tiny-llama.yaml",
        model="tiny-llama",
        prepare=make_tiny_model,
        images=("operator", "validator", "vllm-cpu"),
        note="The real vLLM 0.18.0 on CPU, 2 layers of random weights",
    ),
}


def up(demo: Demo) -> None:
    """Set up what is missing, apply the example, follow it, and show the proof."""
    cluster = choice.chosen("auto", None)
    with choice.one_at_a_time():
        choice.remember(cluster)
        _step("a cluster with NPUs", lambda: cluster.up(Npus()))
    _step("models and data on its node", lambda: _prepare(cluster, demo))
    _step("images, and the operator", lambda: install(cluster, demo.images))
    print(f"\n$ kubectl apply -f {demo.resource.relative_to(REPOSITORY)}", flush=True)
    print(cluster.kubectl("apply", "-f", str(demo.resource)), end="", flush=True)
    _ascendllm(cluster, "status", demo.name, "--watch")
    resource = f"ascendllm/{demo.name}"
    print(f"\n$ kubectl wait --for=condition=Ready {resource}", flush=True)
    waited = cluster.kubectl("wait", "--for=condition=Ready", resource, f"--timeout={_READY}")
    print(waited, end="")
    print("\n$ kubectl get ascendllm")
    print(cluster.kubectl("get", "ascendllm"))
    print(f"$ ascendllm report {demo.name}\n", flush=True)
    _ascendllm(cluster, "report", demo.name)
    print(f"\n{demo.note}.\n{cluster.description()}")
    print("`make demo-down` takes it down.")


def down() -> None:
    """Leave nothing behind."""
    with choice.one_at_a_time():
        cluster = choice.current()
        if cluster is not None:
            if not cluster.disposable:
                uninstall(cluster, [f"{MODELS}/{demo.model}" for demo in DEMOS.values()])
            cluster.down()
            choice.forget()


def _prepare(cluster: Provider, demo: Demo) -> None:
    make_data(cluster)
    demo.prepare(cluster, demo.model)


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
    parser.add_argument("--engine", choices=list(DEMOS), default="simulator", help="who serves")
    chosen = parser.parse_args(arguments)
    try:
        if chosen.command == "up":
            up(DEMOS[chosen.engine])
        else:
            down()
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
