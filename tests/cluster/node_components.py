"""What runs on a bare node beside the control plane: command lines and configuration files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from cluster import cgroups
from cluster.network import BRIDGE, BRIDGE_ADDRESS, NODE_ADDRESS, POD_CIDR
from cluster.pki import KeyPair

__all__ = [
    "CONTAINERD_SOCKET",
    "DNS_READY",
    "PAUSE_IMAGE",
    "containerd",
    "coredns",
    "kube_proxy",
    "kube_scheduler",
    "kubelet",
]

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
PAUSE_IMAGE = "localhost/ascendllm/pause:1"
DNS_READY = f"{NODE_ADDRESS}:8181"
"""Where the host asks, by HTTP at /ready, whether names resolve."""

_CONTAINERD = """\
version = 2
root = "{state}/containerd"
state = "/run/containerd"
oom_score = 0

[grpc]
  address = "{socket}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{state}/containerd-opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{pause}"
  # Without CAP_SYS_RESOURCE runc can't lower a score and every sandbox would die.
  restrict_oom_score_adj = true
  # Profiles are loaded into the host's kernel, which is not ours.
  disable_apparmor = true

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_programs}"
    conf_dir = "{state}/cni"

  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"

      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""

_CNI = {
    "cniVersion": "0.4.0",
    "name": "pods",
    "plugins": [
        {
            "type": "bridge",
            "bridge": BRIDGE,
            "isGateway": True,
            "hairpinMode": True,
            "ipMasq": False,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": POD_CIDR, "gateway": BRIDGE_ADDRESS}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        },
        {"type": "portmap", "capabilities": {"portMappings": True}},
    ],
}

_COREFILE = """\
. {{
    bind {address}
    errors
    health 127.0.0.1:8080
    ready {ready}
    cache 5
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {kubeconfig}
        ttl 5
    }}
}}
"""


def containerd(state: Path, program: str, cni_programs: Path) -> list[str]:
    """containerd with everything of its own in the state folder, and the pods' network."""
    configuration = state / "containerd.toml"
    configuration.write_text(
        _CONTAINERD.format(
            state=state, socket=CONTAINERD_SOCKET, pause=PAUSE_IMAGE, cni_programs=cni_programs
        )
    )
    (state / "cni").mkdir()
    (state / "cni" / "10-pods.conflist").write_text(json.dumps(_CNI, indent=1))
    return [program, f"--config={configuration}"]


def kubelet(
    state: Path, programs: Path, node: str, ca: Path, serving: KeyPair, kubeconfig: Path
) -> list[str]:
    """The kubelet; removes no image, since none could be pulled again."""
    configuration = {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": str(ca)},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": str(serving.certificate),
        "tlsPrivateKeyFile": str(serving.key),
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": f"/{cgroups.NAME}",
        "failSwapOn": False,
        "failCgroupV1": False,
        "clusterDNS": [BRIDGE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": "",
        "podLogsDir": str(state / "pod-logs"),
        "volumePluginDir": str(state / "volume-plugins"),
        "imageGCHighThresholdPercent": 100,
        "evictionHard": {"memory.available": "100Mi", "nodefs.available": "1%"},
        # So that a device's health is seen soon; the default is 10 s.
        "nodeStatusUpdateFrequency": "2s",
    }
    return [
        str(programs / "kubelet"),
        f"--config={_yaml(state / 'kubelet.yaml', configuration)}",
        f"--kubeconfig={kubeconfig}",
        f"--hostname-override={node}",
        f"--node-ip={BRIDGE_ADDRESS}",
    ]


def kube_proxy(state: Path, programs: Path, node: str, kubeconfig: Path) -> list[str]:
    """kube-proxy with iptables; leaves connection tracking alone, which it may not set."""
    configuration = {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "clientConnection": {"kubeconfig": str(kubeconfig)},
        "mode": "iptables",
        "clusterCIDR": POD_CIDR,
        "hostnameOverride": node,
        "conntrack": {
            "maxPerCore": 0,
            "min": 0,
            "tcpEstablishedTimeout": "0s",
            "tcpCloseWaitTimeout": "0s",
        },
    }
    file = _yaml(state / "kube-proxy.yaml", configuration)
    return [str(programs / "kube-proxy"), f"--config={file}"]


def kube_scheduler(programs: Path, kubeconfig: Path) -> list[str]:
    """A scheduler alone in its cluster."""
    return [
        str(programs / "kube-scheduler"),
        f"--kubeconfig={kubeconfig}",
        f"--authentication-kubeconfig={kubeconfig}",
        f"--authorization-kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def coredns(state: Path, program: Path, kubeconfig: Path) -> list[str]:
    """CoreDNS as a process on the pods' bridge: no image is needed before names resolve."""
    corefile = state / "Corefile"
    corefile.write_text(
        _COREFILE.format(address=BRIDGE_ADDRESS, ready=DNS_READY, kubeconfig=kubeconfig)
    )
    return [str(program), f"-conf={corefile}"]


def _yaml(file: Path, document: dict[str, Any]) -> Path:
    file.write_text(yaml.safe_dump(document))
    return file
