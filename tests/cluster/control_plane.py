"""A control plane alone, on loopback: what integration tests need of a cluster.

etcd, kube-apiserver and, where wanted, the controllers; no node, so pods and jobs stay as they
are written, and the tests move them. Needs no root, and nothing outlives the process that made it.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cluster import components, host
from cluster.api import ApiClient
from cluster.binaries import KUBERNETES
from cluster.commands import run
from cluster.kubeconfig import write_kubeconfig
from cluster.pki import Authority, KeyPair
from cluster.processes import ChildProcess, free_ports

__all__ = ["CONTROLLERS", "ControlPlane"]

_LOOPBACK = "127.0.0.1"
_READY_TIMEOUT = 60.0

CONTROLLERS = (
    "garbage-collector-controller",
    "namespace-controller",
    "serviceaccount-controller",
    "root-ca-certificate-publisher-controller",
    "clusterrole-aggregation-controller",
)
"""What behaves the same with and without nodes. Not the controllers that would make pods."""


class ControlPlane:
    """A context manager: ready when entered, gone when left.

    Attributes:
        server: The API server's address, `https://127.0.0.1:port`.
        ca: The certificate that its certificate is held against, a PEM file.
        kubeconfig: The administrator's kubeconfig file.
        audit_log: One JSON object a line, level Metadata, written before each answer.
    """

    server: str
    ca: Path
    kubeconfig: Path
    audit_log: Path

    def __init__(
        self, *, controllers: Sequence[str] = CONTROLLERS, manifests: Sequence[Path] = ()
    ) -> None:
        """Say what it is to run.

        Args:
            controllers: Controllers by kube-controller-manager's names; none: it is not run.
            manifests: Files or folders applied before the controllers start. Give custom
                resource definitions here: the garbage collector looks for new kinds only every
                30 s, but knows from its first moment those that it finds at its start.
        """
        self._controllers = tuple(controllers)
        self._manifests = tuple(manifests)
        self._resources = ExitStack()
        self._processes: list[ChildProcess] = []

    def __enter__(self) -> Self:
        with ExitStack() as resources:
            self._start(resources)
            self._resources = resources.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._resources.close()

    def _start(self, resources: ExitStack) -> None:
        prefix = "ascendllm-control-plane-"
        self._folder = Path(resources.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        host.require(host.CONTROL_PLANE_TOOLS)
        self._programs = KUBERNETES.folder()
        port, etcd_port, peer_port = free_ports(3)
        self.server = f"https://{_LOOPBACK}:{port}"
        authority = Authority(self._folder / "pki")
        self._files = components.make_files(self._folder / "pki", authority, [_LOOPBACK])
        self.ca = self._files.ca
        self.audit_log = self._files.audit_log
        self.kubeconfig = self._kubeconfig("admin", self._files.admin)
        self._api = ApiClient(self.server, self.ca, self._files.admin)
        etcd = components.etcd(self._programs, self._folder / "etcd", etcd_port, peer_port)
        options = [
            f"--bind-address={_LOOPBACK}",
            f"--advertise-address={_LOOPBACK}",
            # Service `kubernetes` may not point at loopback.
            "--endpoint-reconciler-type=none",
            # Without its controller no namespace has the ServiceAccount that its pods would need.
            *([] if self._controllers else ["--disable-admission-plugins=ServiceAccount"]),
        ]
        server = components.api_server(self._programs, self._files, port, etcd_port, *options)
        self._background(resources, etcd)
        self._api_server = self._background(resources, server)
        self._wait_for("/readyz")
        for manifest in self._manifests:
            self._apply(manifest)
        if self._controllers:
            names = f"--controllers={','.join(self._controllers)}"
            kubeconfig = self._kubeconfig("controllers", self._files.controllers)
            command = components.controller_manager(self._programs, self._files, kubeconfig, names)
            self._background(resources, command)
            self._wait_for("/api/v1/namespaces/default/serviceaccounts/default")

    def kill_api_server(self) -> None:
        """End the API server by SIGKILL, as a crash would: its clients' connections break."""
        self._api_server.kill()

    def start_api_server(self) -> None:
        """Start it again after `kill_api_server`, at the same address; returns when ready."""
        self._api_server.start()
        self._wait_for("/readyz")

    def token_for(self, namespace: str, service_account: str, seconds: int = 3600) -> str:
        """A ServiceAccount's token, made as for a pod (TokenRequest)."""
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{service_account}/token"
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds},
        }
        return str(self._api.create(path, request)["status"]["token"])

    def kubeconfig_for(self, namespace: str, service_account: str) -> Path:
        """A kubeconfig file with a ServiceAccount's token, for that namespace."""
        token = self.token_for(namespace, service_account)
        return self._kubeconfig(f"{namespace}.{service_account}", token, namespace)

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        """Run kubectl as the administrator, `text` on its input; returns its output."""
        command = [str(self._programs / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        return run(command, text=text)

    def audit_events(self) -> Iterator[dict[str, Any]]:
        """Every request answered until now, oldest first (audit.k8s.io/v1 Event)."""
        with self.audit_log.open() as lines:
            for line in lines:
                if line.endswith("\n"):  # else it is being written
                    yield json.loads(line)

    def _background(self, resources: ExitStack, command: list[str]) -> ChildProcess:
        process = ChildProcess(command, self._folder / f"{Path(command[0]).name}.log")
        process.start()
        resources.callback(process.kill)
        self._processes.append(process)
        return process

    def _wait_for(self, path: str) -> None:
        def all_run() -> None:
            for process in self._processes:
                process.check()

        self._api.wait_for(path, _READY_TIMEOUT, all_run)

    def _apply(self, manifest: Path) -> None:
        self.kubectl("apply", "--server-side", f"--filename={manifest}")
        definitions = self.kubectl("get", "customresourcedefinitions", "--output=name").split()
        if definitions:
            limit = f"--timeout={_READY_TIMEOUT:.0f}s"
            self.kubectl("wait", *definitions, "--for=condition=Established", limit)

    def _kubeconfig(self, name: str, user: KeyPair | str, namespace: str = "default") -> Path:
        path = self._folder / f"{name}.kubeconfig"
        return write_kubeconfig(path, self.server, self.ca, user, namespace)
