"""Everything that a bare node runs: its credentials, its configuration and its commands."""

from __future__ import annotations

import shutil
from pathlib import Path

from cluster import components, host, network, node_components
from cluster.binaries import COREDNS, KUBERNETES, NPU_DEVICE_PLUGIN
from cluster.commands import environment
from cluster.kubeconfig import write_kubeconfig
from cluster.node import Node, Service
from cluster.npu import Npus
from cluster.pki import Authority

__all__ = ["ADMIN_KUBECONFIG", "AUDIT_LOG", "NODE_NAME", "SERVER", "assemble", "device_plugin"]

NODE_NAME = "ascendllm-node"
ADMIN_KUBECONFIG = "admin.kubeconfig"
AUDIT_LOG = "pki/audit.log"

_API_PORT, _ETCD_PORT, _ETCD_PEER_PORT = 6443, 2379, 2380
SERVER = f"https://{network.NODE_ADDRESS}:{_API_PORT}"
"""The API server as the host sees it."""

_LOCAL_SERVER = f"https://127.0.0.1:{_API_PORT}"


def assemble(state: Path, npus: Npus) -> Node:
    """Make a node's files in its state folder, which is empty.

    Args:
        state: The state folder.
        npus: What the device plugin registers.

    Returns:
        The node, not yet written there.
    """
    authority = Authority(state / "pki")
    addresses = ["127.0.0.1", network.BRIDGE_ADDRESS, network.NODE_ADDRESS]
    files = components.make_files(state / "pki", authority, addresses)
    write_kubeconfig(state / ADMIN_KUBECONFIG, SERVER, files.ca, files.admin)

    def user(name: str, user: str, group: str | None = None) -> Path:
        path = state / f"{name}.kubeconfig"
        return write_kubeconfig(path, _LOCAL_SERVER, files.ca, authority.client(name, user, group))

    user("npu-device-plugin", "ascendllm-test:npu-device-plugin")
    dns = user("coredns", "ascendllm-test:coredns")
    controllers = user("kube-controller-manager", "system:kube-controller-manager")
    scheduler = user("kube-scheduler", "system:kube-scheduler")
    proxy = user("kube-proxy", "system:kube-proxy")
    kubelet = user("kubelet", f"system:node:{NODE_NAME}", "system:nodes")
    serving = authority.server("kubelet-serving", [network.BRIDGE_ADDRESS], [NODE_NAME])

    programs = KUBERNETES.folder()
    bind = ["--bind-address=0.0.0.0", f"--advertise-address={network.BRIDGE_ADDRESS}"]
    etcd = components.etcd(programs, state / "etcd", _ETCD_PORT, _ETCD_PEER_PORT)
    server = components.api_server(programs, files, _API_PORT, _ETCD_PORT, *bind)
    containerd = shutil.which("containerd", path=environment()["PATH"]) or "containerd"
    runtime = node_components.containerd(state, containerd, host.cni_folder())
    kubelet_command = node_components.kubelet(
        state, programs, NODE_NAME, files.ca, serving, kubelet
    )
    services = (
        Service("etcd", etcd),
        Service("kube-apiserver", server),
        Service("containerd", runtime),
        Service(
            "kube-controller-manager",
            components.controller_manager(programs, files, controllers),
            needs_api=True,
        ),
        Service(
            "kube-scheduler", node_components.kube_scheduler(programs, scheduler), needs_api=True
        ),
        Service("kubelet", kubelet_command, needs_api=True),
        Service(
            "kube-proxy",
            node_components.kube_proxy(state, programs, NODE_NAME, proxy),
            needs_api=True,
        ),
        Service("coredns", node_components.coredns(state, COREDNS.path(), dns), needs_api=True),
        device_plugin(state, npus),
    )
    return Node(state, _LOCAL_SERVER, files.ca, files.admin, services)


def device_plugin(state: Path, npus: Npus) -> Service:
    """The device plugin for these NPUs."""
    kubeconfig = str(state / "npu-device-plugin.kubeconfig")
    command = npus.plugin_command(str(NPU_DEVICE_PLUGIN.path()), NODE_NAME, kubeconfig)
    return Service("npu-device-plugin", command, needs_api=True)
