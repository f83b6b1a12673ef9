"""The command lines of the control plane's components, for loopback and for a node alike."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from cluster.pki import Authority, KeyPair, signing_key

__all__ = [
    "ControlPlaneFiles",
    "api_server",
    "controller_manager",
    "etcd",
    "make_files",
]

_SERVICE_CIDR = "10.96.0.0/16"
_KUBERNETES_SERVICE = "10.96.0.1"
_ISSUER = "https://kubernetes.default.svc.cluster.local"
_AGGREGATOR = "front-proxy-client"
_ADMINISTRATORS = "system:masters"  # may do everything, by a rule built into the API server

# Who asked for what, without the objects themselves: enough for tests of permissions and of
# "nothing is written when nothing changed".
_AUDIT_POLICY = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [{"level": "Metadata"}],
}


@dataclass(frozen=True)
class ControlPlaneFiles:
    """The credentials and the configuration that the control plane's components share."""

    ca: Path
    serving: KeyPair
    admin: KeyPair
    controllers: KeyPair
    kubelet_client: KeyPair
    aggregator: KeyPair
    tokens: Path
    audit_policy: Path
    audit_log: Path


def make_files(folder: Path, authority: Authority, addresses: Sequence[str]) -> ControlPlaneFiles:
    """Make what the control plane needs in `folder`, for an API server at `addresses`."""
    names = ["localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"]
    policy = folder / "audit-policy.yaml"
    policy.write_text(yaml.safe_dump(_AUDIT_POLICY))
    return ControlPlaneFiles(
        ca=authority.certificate,
        serving=authority.server("kube-apiserver", [*addresses, _KUBERNETES_SERVICE], names),
        admin=authority.client("admin", "ascendllm-admin", _ADMINISTRATORS),
        controllers=authority.client("controllers", "system:kube-controller-manager"),
        kubelet_client=authority.client("kubelet-client", "kube-apiserver", _ADMINISTRATORS),
        aggregator=authority.client("aggregator", _AGGREGATOR),
        tokens=signing_key(folder / "tokens.key"),
        audit_policy=policy,
        audit_log=folder / "audit.log",
    )


def etcd(programs: Path, data: Path, port: int, peer_port: int) -> list[str]:
    """A one-member etcd on loopback; what it holds need not outlive the machine's power."""
    clients, peers = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    return [
        str(programs / "etcd"),
        f"--data-dir={data}",
        f"--listen-client-urls={clients}",
        f"--advertise-client-urls={clients}",
        f"--listen-peer-urls={peers}",
        f"--initial-advertise-peer-urls={peers}",
        f"--initial-cluster=default={peers}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def api_server(
    programs: Path, files: ControlPlaneFiles, port: int, etcd_port: int, *options: str
) -> list[str]:
    """An API server with Node and RBAC authorization and an audit log written before it answers."""
    return [
        str(programs / "kube-apiserver"),
        f"--secure-port={port}",
        f"--etcd-servers=http://127.0.0.1:{etcd_port}",
        f"--service-cluster-ip-range={_SERVICE_CIDR}",
        "--authorization-mode=Node,RBAC",
        "--allow-privileged",
        f"--client-ca-file={files.ca}",
        f"--tls-cert-file={files.serving.certificate}",
        f"--tls-private-key-file={files.serving.key}",
        f"--kubelet-client-certificate={files.kubelet_client.certificate}",
        f"--kubelet-client-key={files.kubelet_client.key}",
        # API servers behind this one, such as those of metrics, trust it by these.
        f"--requestheader-client-ca-file={files.ca}",
        f"--requestheader-allowed-names={_AGGREGATOR}",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={files.aggregator.certificate}",
        f"--proxy-client-key-file={files.aggregator.key}",
        # Otherwise `kubectl logs` looks up the node's name, which no DNS server knows.
        "--kubelet-preferred-address-types=InternalIP",
        f"--service-account-issuer={_ISSUER}",
        f"--service-account-key-file={files.tokens}",
        f"--service-account-signing-key-file={files.tokens}",
        f"--audit-policy-file={files.audit_policy}",
        f"--audit-log-path={files.audit_log}",
        "--audit-log-mode=blocking",
        *options,
    ]


def controller_manager(
    programs: Path, files: ControlPlaneFiles, kubeconfig: Path, *options: str
) -> list[str]:
    """A controller manager alone in its cluster: no lease to wait for, no port to find."""
    return [
        str(programs / "kube-controller-manager"),
        f"--kubeconfig={kubeconfig}",
        "--leader-elect=false",
        "--secure-port=0",
        "--use-service-account-credentials",
        f"--root-ca-file={files.ca}",
        f"--service-account-private-key-file={files.tokens}",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        *options,
    ]
