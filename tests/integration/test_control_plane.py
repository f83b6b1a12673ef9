"""The control plane that the integration tests stand on does what an API server does."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.control_plane import ControlPlane
from cluster.errors import ClusterError

_WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.test.ascendllm.io}
spec:
  group: test.ascendllm.io
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec: {type: object, properties: {size: {type: integer, maximum: 10}}}
"""

_WIDGET = """
apiVersion: test.ascendllm.io/v1
kind: Widget
metadata: {{name: {name}}}
spec: {{size: {size}}}
"""


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    definition = tmp_path_factory.mktemp("crds") / "widgets.yaml"
    definition.write_text(_WIDGETS)
    with ControlPlane(manifests=[definition]) as plane:
        yield plane


def apply(plane: ControlPlane, manifest: str, manager: str = "test") -> str:
    server_side = ("apply", "--server-side", f"--field-manager={manager}", "--filename=-")
    return plane.kubectl(*server_side, text=manifest)


def test_the_schema_of_a_given_crd_is_enforced(plane: ControlPlane) -> None:
    apply(plane, _WIDGET.format(name="small", size=10))

    with pytest.raises(ClusterError, match=r"spec\.size.*less than or equal to 10"):
        apply(plane, _WIDGET.format(name="large", size=11))


def test_two_managers_of_one_field_conflict(plane: ControlPlane) -> None:
    apply(plane, _WIDGET.format(name="contested", size=1), manager="first")

    with pytest.raises(ClusterError, match='conflict with "first"'):
        apply(plane, _WIDGET.format(name="contested", size=2), manager="second")


def test_deleting_an_owner_deletes_what_it_owns(plane: ControlPlane) -> None:
    apply(plane, _WIDGET.format(name="owner", size=1))
    uid = plane.kubectl("get", "widget", "owner", "--output=jsonpath={.metadata.uid}")
    reference = {"apiVersion": "test.ascendllm.io/v1", "kind": "Widget", "name": "owner"}
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "ownerReferences": [{**reference, "uid": uid}]},
    }
    apply(plane, json.dumps(owned))

    plane.kubectl("delete", "widget", "owner")

    plane.kubectl("wait", "configmap/owned", "--for=delete", "--timeout=15s")


def test_a_service_account_may_do_what_its_role_says_and_no_more(plane: ControlPlane) -> None:
    plane.kubectl("create", "serviceaccount", "reader")
    plane.kubectl("create", "role", "read", "--verb=get,list", "--resource=configmaps")
    plane.kubectl("create", "rolebinding", "read", "--role=read", "--serviceaccount=default:reader")
    reader = f"--kubeconfig={plane.kubeconfig_for('default', 'reader')}"

    plane.kubectl(reader, "get", "configmaps")
    with pytest.raises(ClusterError, match="cannot list resource"):
        plane.kubectl(reader, "get", "secrets")


def test_the_audit_log_says_who_did_what(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "audited")

    created = [
        event
        for event in plane.audit_events()
        if event["verb"] == "create" and event.get("objectRef", {}).get("name") == "audited"
    ]
    assert [event["user"]["username"] for event in created] == ["ascendllm-admin"]


def test_objects_survive_a_crash_of_the_api_server(plane: ControlPlane) -> None:
    plane.kubectl("create", "configmap", "survivor")

    plane.kill_api_server()
    with pytest.raises(ClusterError):
        plane.kubectl("get", "configmap", "survivor", "--request-timeout=5s")
    plane.start_api_server()

    assert "survivor" in plane.kubectl("get", "configmap", "survivor")


_HOLDER = """
import sys
from cluster.control_plane import ControlPlane
with ControlPlane(controllers=()) as plane:
    print(plane.kubeconfig.parent, flush=True)
    sys.stdin.read()
"""


def test_nothing_outlives_a_killed_test_run() -> None:
    tests = Path(__file__).parent.parent
    environment = {**os.environ, "PYTHONPATH": str(tests)}
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder:
        assert holder.stdout is not None
        folder = holder.stdout.readline().strip()
        assert len(processes_naming(folder)) == 2  # etcd and kube-apiserver
        holder.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + 10
    while processes_naming(folder):
        assert time.monotonic() < deadline, "the control plane's processes still run"
        time.sleep(0.05)
    shutil.rmtree(folder)


def processes_naming(text: str) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().decode(errors="replace")
            except OSError:
                continue  # it has ended meanwhile
            if text in arguments:
                found.append(int(entry.name))
    return found
