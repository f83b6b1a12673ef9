"""The commands of `python tests/cluster`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cluster import choice
from cluster.binaries import OTHERS_PROGRAMS, PROGRAMS
from cluster.commands import environment
from cluster.errors import ClusterError
from cluster.node import Node
from cluster.node_process import RUN_NODE
from cluster.npu import CHIPS, MODES, Npus
from cluster.provider import Provider

__all__ = ["main"]

_REST = argparse.REMAINDER


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 1 and a message where it can't be done."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["kubectl"] and given[1:2] != ["--"]:
        # What follows is kubectl's, also where it looks like an option of ours.
        given.insert(1, "--")
    options = _parser().parse_args(given)
    command: Callable[[argparse.Namespace], int] = options.run
    try:
        return command(options)
    except ClusterError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python tests/cluster",
        description="A real cluster for the tests and the demo.",
        epilog="With ASCENDLLM_CLUSTER=1 (to 15) in the environment, every command is about "
        "another cluster beside the usual one.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        name: str, run: Callable[[argparse.Namespace], int], text: str
    ) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text)
        added.set_defaults(run=run)
        return added

    up = command("up", _up, "bring the cluster up; on one that is up, put right what differs")
    up.add_argument("--provider", choices=choice.PROVIDERS, default="auto")
    up.add_argument(
        "--kubeconfig",
        help=f"your own cluster's (or the environment's {choice.KUBECONFIG_VARIABLE})",
    )
    up.add_argument("--npus", type=int, default=Npus.count, help="NPUs on the node [%(default)s]")
    up.add_argument(
        "--npu-mode",
        choices=MODES,
        default=Npus.mode,
        help="containers get the environment for Ascend Docker Runtime, or device nodes "
        "[%(default)s]",
    )
    up.add_argument(
        "--chip",
        choices=tuple(CHIPS),
        default=Npus.chip,
        help="the node's label node.kubernetes.io/npu.chip.name; Ascend910 is what an A3 node "
        "bears [%(default)s]",
    )
    build = command("build", _build, "build every program beforehand; `up` builds what is missing")
    build.add_argument(
        "--all", action="store_true", help="also those of other projects, for the end-to-end tests"
    )
    command("down", _down, "take the cluster down; nothing of it is left behind")
    command("kubeconfig", _kubeconfig, "print the path of the administrator's kubeconfig")
    kubectl = command("kubectl", _kubectl, "run kubectl as the administrator")
    kubectl.add_argument("arguments", nargs=_REST, metavar="ARGS")
    run = command("node-exec", _node_exec, "run a command on the node: node-exec -- COMMAND")
    run.add_argument("arguments", nargs=_REST, metavar="COMMAND")
    copy = command("node-copy", _node_copy, "copy a file, or a folder's content, onto the node")
    copy.add_argument("source", type=Path)
    copy.add_argument("destination")
    load = command("load", _load, "put the images of OCI archives on the node")
    load.add_argument("archives", nargs="+", type=Path, metavar="ARCHIVE")
    image = command("has-image", _has_image, "exit with 0 if the node has an image, else with 1")
    image.add_argument("name")
    npu = command("npu", _npu, "turn the health of an NPU")
    npu.add_argument("health", choices=("healthy", "unhealthy"))
    npu.add_argument("number", type=int)
    logs = command("logs", _logs, "print what a component wrote; without one, which there are")
    logs.add_argument("component", nargs="?")
    restart = command("restart", _restart, "end a component of the node; it is started again")
    restart.add_argument("component")
    node = commands.add_parser(RUN_NODE)  # no help: `up` calls it, people don't
    node.add_argument("state", type=Path)
    node.set_defaults(run=_run_node)
    return parser


def _up(options: argparse.Namespace) -> int:
    npus = Npus(options.chip, options.npus, options.npu_mode)
    began = time.monotonic()
    with choice.one_at_a_time():
        cluster = choice.chosen(options.provider, options.kubeconfig)
        choice.remember(cluster)
        cluster.up(npus)
    print(
        f"up after {time.monotonic() - began:.1f} s: {cluster.name}, {npus.resource}: {npus.count}"
    )
    print(f"export KUBECONFIG={cluster.kubeconfig}")
    print(cluster.description())
    return 0


def _build(options: argparse.Namespace) -> int:
    for program in (*PROGRAMS, *(OTHERS_PROGRAMS if options.all else ())):
        program.folder()
    return 0


def _down(_: argparse.Namespace) -> int:
    with choice.one_at_a_time():
        # Without a record, one whose record was lost may still run; only bare ones can be found.
        cluster = choice.current() or choice.chosen("bare", None)
        cluster.down()
        choice.forget()
    return 0


def _kubeconfig(_: argparse.Namespace) -> int:
    print(_current().kubeconfig)
    return 0


def _rest(options: argparse.Namespace) -> list[str]:
    arguments: list[str] = options.arguments
    return arguments[1:] if arguments[:1] == ["--"] else arguments


def _kubectl(options: argparse.Namespace) -> int:
    return _become(_current().kubectl_command(_rest(options)))


def _node_exec(options: argparse.Namespace) -> int:
    arguments = _rest(options)
    if not arguments:
        raise ClusterError("node-exec: needs a command, such as `node-exec -- ls /opt`")
    return _become(_current().node_command(arguments))


def _node_copy(options: argparse.Namespace) -> int:
    _current().node_copy(options.source, options.destination)
    return 0


def _load(options: argparse.Namespace) -> int:
    for archive in options.archives:
        _current().load(archive)
    return 0


def _has_image(options: argparse.Namespace) -> int:
    return 0 if _current().has_image(options.name) else 1


def _npu(options: argparse.Namespace) -> int:
    _current().set_health(options.number, healthy=options.health == "healthy")
    return 0


def _logs(options: argparse.Namespace) -> int:
    print(_current().logs(options.component))
    return 0


def _restart(options: argparse.Namespace) -> int:
    _current().restart(options.component)
    return 0


def _run_node(options: argparse.Namespace) -> int:
    Node.read(options.state).run()
    return 0


def _current() -> Provider:
    cluster = choice.current()
    if cluster is None:
        raise ClusterError("no cluster is up; run `python tests/cluster up`")
    return cluster


def _become(command: list[str]) -> int:
    """Go on as another program, which gets our terminal and our signals."""
    try:
        os.execvpe(command[0], command, environment())
    except OSError as error:
        raise ClusterError(f"{command[0]}: {error.strerror}") from error
