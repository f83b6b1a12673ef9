"""A namespace of its own for a test, and what a user does and sees in it."""

from __future__ import annotations

import json
import re
import secrets
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from cluster.commands import environment
from cluster.errors import ClusterError
from cluster.provider import Provider
from e2e.watch import Object, Watch

__all__ = [
    "OPERATOR",
    "SIMULATOR",
    "Space",
    "all_ready",
    "condition",
    "namespace",
    "pods_of_job",
    "result",
    "settings",
]

OPERATOR = ("-n", "ascendllm-system")
_DEPLOYMENT = (*OPERATOR, "deployment/ascendllm-operator")
_SETTINGS = (*OPERATOR, "configmap", "ascendllm-operator")
SIMULATOR = "localhost/ascendllm/vllm-ascend:v0.18.0rc1-a3"

NAME = "ascendllm.io/name"
REVISION = "ascendllm.io/revision"
RUN = "ascendllm.io/run"

_CHILDREN = (
    "controllerrevisions.apps,deployments.apps,services,configmaps,jobs.batch,serviceaccounts,"
    "roles.rbac.authorization.k8s.io,rolebindings.rbac.authorization.k8s.io"
)

_ASK = """
import json, sys, urllib.request
url, body = sys.argv[1], sys.argv[2].encode() or None
request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        told = {"status": answer.status, "text": answer.read().decode()}
except OSError as error:
    told = {"status": None, "text": str(error)}
print(json.dumps(told))
"""

_ASK_AND_WAIT = """
import sys, urllib.request
headers = {"Content-Type": "application/json"}
request = urllib.request.Request(sys.argv[1], sys.argv[2].encode(), headers)
urllib.request.urlopen(request, timeout=600).read()
"""

_KEEP_ASKING = """
import sys, threading, urllib.request
url, body = sys.argv[1], sys.argv[2].encode()
over = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), over.set()), daemon=True).start()
while not over.wait(0.1):
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            answer.read()
            print(answer.status, flush=True)
    except OSError as error:
        print(error, flush=True)
"""


class Space:
    """A namespace.

    Args:
        cluster: The cluster.
        name: The namespace's name.
    """

    def __init__(self, cluster: Provider, name: str) -> None:
        self.cluster = cluster
        self.name = name

    def kubectl(self, *arguments: str, text: str | None = None) -> str:
        return self.cluster.kubectl("-n", self.name, *arguments, text=text)

    def command(self, *arguments: str) -> list[str]:
        """A kubectl command line for this namespace."""
        return self.cluster.kubectl_command(["-n", self.name, *arguments])

    def ascendllm(self, *arguments: str) -> str:
        """The project's own command, as a person runs it."""
        options = ["--kubeconfig", str(self.cluster.kubeconfig), "--namespace", self.name]
        return subprocess.run(
            [sys.executable, "-m", "ascendllm", *arguments, *options],
            env=environment(),
            check=True,
            capture_output=True,
            text=True,
            timeout=60,
        ).stdout

    def apply(self, *items: Object) -> None:
        """`kubectl apply` of resources, as their user."""
        document = {"apiVersion": "v1", "kind": "List", "items": list(items)}
        self.kubectl("apply", "--filename=-", text=json.dumps(document))

    def patch(self, name: str, spec: Mapping[str, Any]) -> None:
        """Change fields of a resource's spec; None removes one."""
        self.kubectl("patch", "ascendllm", name, "--type=merge", f"--patch={_json(spec=spec)}")

    def get(self, kind: str, name: str) -> dict[str, Any]:
        return dict(json.loads(self.kubectl("get", kind, name, "--output=json")))

    def items(self, kind: str, selector: str = "") -> list[dict[str, Any]]:
        listed = self.kubectl("get", kind, f"--selector={selector}", "--output=json")
        return list(json.loads(listed)["items"])

    def status(self, name: str) -> dict[str, Any]:
        return dict(self.get("ascendllm", name).get("status", {}))

    def wait(self, what: str, wanted: str, seconds: int = 150) -> None:
        """`kubectl wait --for=…`; where it fails, with what the resources say instead."""
        limit = min(seconds, 140)
        try:
            self.kubectl("wait", what, f"--for={wanted}", f"--timeout={limit}s")
        except ClusterError as error:
            said = [
                (item["metadata"]["name"], item.get("status", {}).get("conditions"))
                for item in self.items("ascendllm")
            ]
            raise AssertionError(f"{error}\n{json.dumps(said, indent=1)}") from None

    def wait_for_ready(self, name: str, seconds: int = 140) -> None:
        """What a pipeline does."""
        self.wait(f"ascendllm/{name}", "condition=Ready", seconds)

    def settle(self, name: str) -> dict[str, Any]:
        """Wait until the operator has said all that there is to say of the present generation."""
        with self.watch("ascendllm") as watch:
            there = watch.until(lambda items: _settled(items.get(name)), f"{name} is settled")
        return dict(there[name]["status"])

    def watch(self, kind: str, selector: str = "") -> Watch:
        return Watch(self.command("get", kind, f"--selector={selector}"))

    def until(self, name: str, reason: str, seconds: float = 120) -> dict[str, Any]:
        """Wait until Ready has this reason; the status then."""
        with self.watch("ascendllm") as watch:
            there = watch.until(
                lambda items: condition(items.get(name), "Ready").get("reason") == reason,
                f"{name} says {reason}",
                seconds,
            )
        return dict(there[name]["status"])

    def objects(self, name: str) -> set[str]:
        """`kind/name` of all that belongs to a resource, pods aside: their names are random."""
        listed = self.kubectl("get", _CHILDREN, f"--selector={NAME}={name}", "--output=name")
        return set(listed.split())

    def runs(self, name: str) -> dict[str, dict[str, Any]]:
        """The data of the resource's runs by their ConfigMaps' names."""
        return {
            item["metadata"]["name"]: {**item["data"], "immutable": item.get("immutable", False)}
            for item in self.items("configmaps", f"{NAME}={name},{RUN}")
        }

    def answers(self, *arguments: str) -> str:
        """What kubectl prints, whether it ends well or not."""
        outcome = subprocess.run(
            self.command(*arguments), env=environment(), capture_output=True, text=True, timeout=30
        )
        return outcome.stdout.strip()

    def serving_pods(self, name: str) -> list[dict[str, Any]]:
        return self.items("pods", f"{NAME}={name},{REVISION}")

    def uids(self, kind: str, name: str) -> dict[str, str]:
        """The uids of a resource's objects of a kind, by name."""
        items = self.items(kind, f"{NAME}={name}")
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in items}

    def evict(self, pod: str) -> str:
        """Ask as a drain does; what the API server says against it."""
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": self.name},
        }
        path = f"/api/v1/namespaces/{self.name}/pods/{pod}/eviction"
        outcome = subprocess.run(
            self.command("create", f"--raw={path}", "--filename=-"),
            input=json.dumps(body),
            env=environment(),
            capture_output=True,
            text=True,
            timeout=30,
        )
        return "" if outcome.returncode == 0 else outcome.stderr + outcome.stdout

    def alias(self, name: str, host: str) -> str:
        """Another name in the cluster for a host, as an entry in a DNS zone would be."""
        self.apply(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name},
                "spec": {"type": "ExternalName", "externalName": host},
            }
        )
        return f"{name}.{self.name}.svc"

    def start_client(self) -> None:
        """A pod that asks on behalf of the tests, since they are not in the cluster's network."""
        container = {"name": "client", "image": SIMULATOR, "args": ["sleep", "infinity"]}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "client"},
            "spec": {"terminationGracePeriodSeconds": 0, "containers": [container]},
        }
        self.apply(pod)
        self.wait("pod/client", "condition=Ready")

    def ask(self, url: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Have the client ask: `status` (None: no answer) and `text`."""
        document = json.dumps(body) if body is not None else ""
        told = self.kubectl("exec", "client", "--", "python3", "-c", _ASK, url, document)
        return dict(json.loads(told))

    @contextmanager
    def asking(self, url: str, body: Mapping[str, Any]) -> Iterator[None]:
        """Have the client ask once, and wait for the answer as long as the context lasts."""
        command = self.command("exec", "client", "--", "python3", "-c", _ASK_AND_WAIT, url)
        with subprocess.Popen(
            [*command, json.dumps(body)],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                yield
            finally:
                process.terminate()

    @contextmanager
    def keep_asking(self, url: str, body: Mapping[str, Any]) -> Iterator[list[str]]:
        """Have the client ask on and on; the list holds what it was told when the context is left.

        One text an answer: the HTTP status, or the error where there was none.
        """
        with self.client_script(_KEEP_ASKING, url, json.dumps(body)) as told:
            yield told

    @contextmanager
    def client_script(self, script: str, *arguments: str) -> Iterator[list[str]]:
        """Have the client run Python until its input is closed; the list is what it printed.

        The first line is waited for, the others are there when the context is left.
        """
        told: list[str] = []
        running = self.command("exec", "--stdin", "client", "--", "python3", "-c", script)
        with subprocess.Popen(
            [*running, *arguments],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            told.append(process.stdout.readline().strip())
            try:
                yield told
            finally:
                process.stdin.close()
                told += process.stdout.read().splitlines()

    @contextmanager
    def forward(self, what: str, port: int = 8000) -> Iterator[str]:
        """The URL on this machine under which a pod or Service is reached meanwhile."""
        command = self.command("port-forward", what, f":{port}")
        with subprocess.Popen(
            command, env=environment(), stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            try:
                line = process.stdout.readline()
                found = re.match(r"Forwarding from (127\.0\.0\.1:\d+) ", line)
                assert found, f"kubectl port-forward said {line!r}"
                yield f"http://{found[1]}"
            finally:
                process.terminate()

    def kill_container(self, pod: str) -> None:
        """SIGKILL to a pod's first container, as the node's memory killer would."""
        status = self.get("pod", pod)["status"]["containerStatuses"][0]
        container = re.sub("^containerd://", "", status["containerID"])
        task = ["ctr", "-n", "k8s.io", "task", "kill", "--signal", "SIGKILL", container]
        subprocess.run(self.cluster.node_command(task), check=True, timeout=30)


@contextmanager
def namespace(cluster: Provider, purpose: str) -> Iterator[Space]:
    """A namespace for as long as the context lasts; its pods may take longer to go."""
    name = f"e2e-{purpose}-{secrets.token_hex(3)}"
    cluster.kubectl("create", "namespace", name)
    try:
        yield Space(cluster, name)
    finally:
        cluster.kubectl("delete", "namespace", name, "--wait=false")


@contextmanager
def settings(cluster: Provider, **changes: str) -> Iterator[None]:
    """An operator with other settings."""

    def restart(data: Mapping[str, str]) -> None:
        patch = json.dumps({"data": data})
        cluster.kubectl("patch", *_SETTINGS, "--type=merge", f"--patch={patch}")
        cluster.kubectl("rollout", "restart", *_DEPLOYMENT)
        cluster.kubectl("rollout", "status", *_DEPLOYMENT, "--timeout=60s")

    before = json.loads(cluster.kubectl("get", *_SETTINGS, "--output=json"))["data"]
    restart(changes)
    try:
        yield
    finally:
        restart({key: before[key] for key in changes})


def condition(item: Object | None, kind: str) -> dict[str, Any]:
    """A condition of a resource, empty where there is none."""
    conditions = ((item or {}).get("status") or {}).get("conditions") or []
    return dict(next((c for c in conditions if c["type"] == kind), {}))


def all_ready(pods: Mapping[str, Object], count: int) -> bool:
    """Whether there are so many pods, and all are ready."""
    ready = [condition(pod, "Ready").get("status") == "True" for pod in pods.values()]
    return ready == [True] * count


def result(item: Object | None, check: str) -> str | None:
    """A check's result in a resource's status."""
    checks = ((item or {}).get("status") or {}).get("validation") or {}
    found = (checks.get(check) or {}).get("result")
    return str(found) if found is not None else None


def pods_of_job(run: str) -> str:
    """The selector of a job's pods."""
    return f"batch.kubernetes.io/job-name={run}"


def _settled(item: Object | None) -> bool:
    if item is None or not item.get("status"):
        return False
    current = item["status"].get("observedGeneration") == item["metadata"]["generation"]
    return current and not condition(item, "Reconciling")


def _json(**value: Any) -> str:
    return json.dumps(value)
