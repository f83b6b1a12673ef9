"""The node's network: a bridge for the pods, and one cable to the host.

The cable's addresses are link-local, which are nobody else's network. Endpoints must not be
link-local, so inside the node the API server is known by the bridge's address.
"""

from __future__ import annotations

import time
from pathlib import Path

from cluster.commands import run, succeeds
from cluster.errors import ClusterError
from cluster.paths import INSTANCE

__all__ = [
    "BRIDGE",
    "BRIDGE_ADDRESS",
    "NODE_ADDRESS",
    "POD_CIDR",
    "connect_host",
    "disconnect_host",
    "set_up_node",
]

POD_CIDR = "10.244.0.0/24"
BRIDGE = "cni0"
BRIDGE_ADDRESS = "10.244.0.1"
NODE_ADDRESS = f"169.254.77.{4 * INSTANCE + 2}"
"""The node as the host sees it."""

_HOST_ADDRESS = f"169.254.77.{4 * INSTANCE + 1}"
_HOST_END = f"allm{INSTANCE}-host"
_NODE_END = f"allm{INSTANCE}-node"
_CABLE_TIMEOUT = 15.0
_PAUSE = 0.02


def connect_host(node: int) -> None:
    """Lay the cable, on the host.

    Args:
        node: The process id of the node's first process.
    """
    disconnect_host()
    peer = ["peer", "name", _NODE_END, "netns", str(node)]
    _ip("link", "add", _HOST_END, "type", "veth", *peer)
    _ip("address", "add", f"{_HOST_ADDRESS}/30", "dev", _HOST_END)
    _ip("link", "set", _HOST_END, "up")


def disconnect_host() -> None:
    """Remove the host's end of the cable, where it is left over."""
    if succeeds(["ip", "link", "show", _HOST_END]):
        # The kernel removes it together with the node's network; who is first does not matter.
        succeeds(["ip", "link", "delete", _HOST_END])


def set_up_node() -> None:
    """Make the bridge and take up the cable, inside the node."""
    _ip("link", "set", "lo", "up")
    _ip("link", "add", BRIDGE, "type", "bridge")
    _ip("address", "add", f"{BRIDGE_ADDRESS}/24", "dev", BRIDGE)
    _ip("link", "set", BRIDGE, "up")
    _sysctl("net/ipv4/ip_forward")
    succeeds(["modprobe", "br_netfilter"])  # a module in some kernels, built into others
    _sysctl("net/bridge/bridge-nf-call-iptables")
    _wait_for_cable()
    _ip("address", "add", f"{NODE_ADDRESS}/30", "dev", _NODE_END)
    _ip("link", "set", _NODE_END, "up")
    # kubelet and kube-proxy want one; nothing answers there, so pods reach only each other.
    _ip("route", "add", "default", "via", _HOST_ADDRESS)


def _wait_for_cable() -> None:
    deadline = time.monotonic() + _CABLE_TIMEOUT
    while not succeeds(["ip", "link", "show", _NODE_END]):
        if time.monotonic() > deadline:
            raise ClusterError(f"{_NODE_END}: the host did not connect within {_CABLE_TIMEOUT} s")
        time.sleep(_PAUSE)


def _ip(*arguments: str) -> None:
    run(["ip", *arguments])


def _sysctl(name: str) -> None:
    Path("/proc/sys", name).write_text("1\n")
