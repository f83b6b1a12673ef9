"""Ways in and out, and how many replicas: drain, budget, autoscalers, routes, the API key."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

from ascendllm.api.spec import Spec
from ascendllm.decide.policies import Input, first_problem
from ascendllm.desired.revision import revision_inputs
from ascendllm.desired.template import pod_template
from ascendllm.engine.drain import shutdown_timeout
from ascendllm.settings import Settings
from ascendllm.state.times import format_time
from unit.core import edge_rules
from unit.core.edge_rules import KEY, SCALED
from unit.core.stage import SETTINGS, Stage, spec_of

KEDA = Settings.model_validate(SETTINGS.model_dump() | {"prometheus_address": "http://prom:9090"})
ZERO = {**SCALED, "scaleToZero": True, "wakeQuery": "up"}
SMOKE = {"smoke": {}}


def spec_with(path: str, value: Any) -> dict[str, Any]:
    """A spec with one field set, such as `service.gateway`."""
    spec: dict[str, Any] = {"model": {"source": {"hostPath": "/opt/atomgit/llama"}}}
    node = spec
    *parents, last = path.split(".")
    for parent in parents:
        node = node.setdefault(parent, {})
    node[last] = value
    return spec


@pytest.mark.parametrize(("path", "value", "told"), edge_rules.RULES)
def test_the_models_refuse_what_the_rules_do(path: str, value: Any, told: str) -> None:
    with pytest.raises(ValueError, match="autoscaling") as refused:
        Spec.model_validate(spec_with(path, value))
    assert told in str(refused.value)


@pytest.mark.parametrize(("path", "value"), edge_rules.BOUNDS)
def test_a_bound_is_kept(path: str, value: Any) -> None:
    with pytest.raises(ValueError, match=path.replace(".", r"\.")):
        Spec.model_validate(spec_with(path, value))


@pytest.mark.parametrize(("path", "value"), edge_rules.ACCEPTED)
def test_what_stands_at_the_edge_passes(path: str, value: Any) -> None:
    Spec.model_validate(spec_with(path, value))


def test_two_keys_are_one_too_many() -> None:
    env = {"VLLM_API_KEY": "x"}
    spec_of(runtime={"env": env})
    with pytest.raises(ValueError, match="remove the variable"):
        spec_of(runtime={"env": env}, service={"apiKeySecret": KEY})


@pytest.mark.parametrize(
    ("longest", "seconds"),
    [(None, 120), (4096, 120), (4801, 121), (32_768, 820), (131_072, 3277), (1_048_576, 3600)],
)
def test_the_drain_lasts_as_long_as_the_longest_request(longest: int | None, seconds: int) -> None:
    assert shutdown_timeout(spec_of(engine={"maxModelLen": longest}).engine) == seconds


def pods_spec(stage: Stage) -> dict[str, Any]:
    (deployment,) = stage.of("Deployment")
    found: dict[str, Any] = deployment["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize("longest", [4096, 131_072, 1_048_576])
def test_the_kubelet_waits_longer_than_the_drain(longest: int) -> None:
    stage = Stage(spec_of(engine={"maxModelLen": longest}))
    stage.load()
    pod = pods_spec(stage)
    (container,) = pod["containers"]
    (option,) = [a for a in container["args"] if a.startswith("--shutdown-timeout=")]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] >= pause + int(option.partition("=")[2]) + 30
    hung = container["livenessProbe"].get("terminationGracePeriodSeconds", 155)
    assert hung == 155, "what hangs finishes nothing: it is not waited for an hour"


def test_pods_that_only_compute_end_after_the_one_that_answers() -> None:
    service = {"apiKeySecret": KEY}
    fields: dict[str, Any] = {"nodes": 2, "npu": {"count": 8, "generation": "A2"}}
    template = pod_template(Stage().owner, spec_of(service=service, **fields), {"image": "a:1"})
    (leader,), (worker,) = (template[role]["spec"]["containers"] for role in ("leader", "worker"))
    assert leader["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", "5"]
    python, option, script = worker["lifecycle"]["preStop"]["exec"]["command"]
    assert (python, option) == ("python3", "-c")
    assert "VLLM_API_KEY" in {item["name"] for item in leader["env"]}
    assert "VLLM_API_KEY" not in {item["name"] for item in worker["env"]}

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        script = script.replace("8000", str(port))
        environment = {**os.environ, "LWS_LEADER_ADDRESS": "127.0.0.1"}
        with subprocess.Popen([sys.executable, "-c", script], env=environment) as waiting:
            for _ in range(2):
                server.accept()[0].close()
            assert waiting.poll() is None, "the leader still listens"
            server.close()
            assert waiting.wait(30) == 0


def test_the_key_makes_a_revision_and_nothing_else_of_service_does() -> None:
    bare = revision_inputs(spec_of(), "llama")
    other = {"port": 80, "gateway": {"name": "a"}, "ingress": {"hosts": ["a"]}}
    assert revision_inputs(spec_of(service=other), "llama") == bare
    with_key = revision_inputs(spec_of(service={**other, "apiKeySecret": KEY}), "llama")
    assert with_key == {**bare, "service": {"apiKeySecret": KEY}}


def test_replicas_and_autoscaling_are_no_part_of_a_revision() -> None:
    bare = revision_inputs(spec_of(), "llama")
    assert revision_inputs(spec_of(replicas=3, autoscaling=SCALED), "llama") == bare


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        ({"replicas": 3}, 3),
        ({"replicas": 3, "suspend": True}, 0),
        ({"replicas": 0, "autoscaling": {**SCALED, "minReplicas": 2}}, 0),
        ({"replicas": 1, "autoscaling": {**SCALED, "minReplicas": 2}}, 2),
        ({"replicas": 3, "autoscaling": {**SCALED, "minReplicas": 2}}, 3),
        ({"replicas": 9, "autoscaling": {**SCALED, "minReplicas": 2}}, 4),
        ({"replicas": 9, "autoscaling": SCALED, "suspend": True}, 0),
    ],
)
def test_the_autoscalers_bounds_hold(fields: dict[str, Any], wanted: int) -> None:
    stage = Stage(spec_of(validation=None, **fields))
    stage.load()
    (deployment,) = stage.of("Deployment")
    assert deployment["spec"]["replicas"] == wanted


def test_a_budget_follows_the_served_revision() -> None:
    stage = Stage(spec_of(replicas=2, validation=SMOKE))
    stage.load()
    assert stage.of("PodDisruptionBudget") == [], "nothing serves yet"
    stage.finish("smoke")
    first = stage.served
    (budget,) = stage.of("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"]["ascendllm.io/revision"] == first
    stage.change(spec_of(replicas=2, validation=SMOKE, engine={"maxNumSeqs": 8}))
    stage.load()
    (budget,) = stage.of("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"]["ascendllm.io/revision"] == first
    stage.finish("smoke")
    (budget,) = stage.of("PodDisruptionBudget")
    assert budget["spec"]["selector"]["matchLabels"]["ascendllm.io/revision"] != first


@pytest.mark.parametrize(
    "fields", [{"replicas": 1}, {"replicas": 0}, {"replicas": 3, "suspend": True}]
)
def test_a_budget_that_would_only_block_is_none(fields: dict[str, Any]) -> None:
    stage = Stage(spec_of(replicas=2, validation=None))
    stage.load()
    assert stage.of("PodDisruptionBudget")
    stage.change(spec_of(validation=None, **fields))
    stage.load()
    assert stage.of("PodDisruptionBudget") == []


def test_one_of_the_autoscalers_and_never_both() -> None:
    stage = Stage(spec_of(autoscaling=SCALED, validation=None))
    stage.load()
    assert stage.of("HorizontalPodAutoscaler")
    stage.settings = KEDA
    stage.absent = frozenset({"ScaledObject"})
    stage.settle()
    assert stage.of("HorizontalPodAutoscaler"), "KEDA is not there"
    stage.absent = frozenset()
    _, decision = stage.decision()
    assert [ref.kind for ref in decision.plan.delete] == ["HorizontalPodAutoscaler"]
    stage.settle()
    assert (len(stage.of("ScaledObject")), stage.of("HorizontalPodAutoscaler")) == (1, [])
    stage.change(spec_of(autoscaling=SCALED, validation=None, suspend=True))
    stage.settle()
    assert stage.of("ScaledObject") == []
    stage.change(spec_of(validation=None))
    stage.settle()
    assert stage.of("ScaledObject") == []


def test_an_autoscaler_looks_at_what_clients_use() -> None:
    stage = Stage(spec_of(autoscaling=SCALED, validation=SMOKE), settings=KEDA)
    stage.prove("smoke")
    served = stage.served
    (scaled,) = stage.of("ScaledObject")
    assert f'pod=~"llama-{served}-.*"' in scaled["spec"]["triggers"][0]["metadata"]["query"]
    assert "idleReplicaCount" not in scaled["spec"]


def test_an_autoscaler_that_does_not_scale_is_told_of() -> None:
    stage = Stage(spec_of(autoscaling=SCALED, validation=None))
    stage.load()
    (autoscaler,) = stage.of("HorizontalPodAutoscaler")

    def says(status: str, reason: str) -> list[str]:
        told = {
            "type": "ScalingActive",
            "status": status,
            "reason": reason,
            "message": "no metrics",
        }
        autoscaler["status"] = {"conditions": [told]}
        stage.objects["HorizontalPodAutoscaler", "llama"] = autoscaler
        again = stage.decision()[1].plan.wake_at is not None
        assert again == (reason in ("FailedGetPodsMetric", ""))
        stage.step()
        found: list[str] = stage.status.get("warnings", [])
        return [line for line in found if "Autoscaler" in line]

    (warning,) = says("False", "FailedGetPodsMetric")
    assert warning.startswith(
        'HorizontalPodAutoscaler llama does not scale: FailedGetPodsMetric: "no metrics"; '
    )
    assert "prometheus-adapter" in warning
    assert says("True", "ValidMetricFound") == []
    assert says("False", "ScalingDisabled") == []
    assert says("Unknown", "") == []


def test_only_what_is_proven_goes_to_zero() -> None:
    fields: dict[str, Any] = {"autoscaling": ZERO, "validation": SMOKE}
    stage = Stage(spec_of(**fields), settings=KEDA)

    def idle() -> int | None:
        (scaled,) = stage.of("ScaledObject")
        return scaled["spec"].get("idleReplicaCount")

    stage.load()
    assert idle() is None, "the check needs the pods"
    stage.finish("smoke")
    assert idle() == 0
    # As KEDA does it, through the scale subresource.
    stage.change(spec_of(replicas=0, **fields))
    stage.load()
    assert stage.of("Pod") == []
    assert stage.conditions["Ready"] == "True/ScaledToZero"
    (ready,) = (c for c in stage.status["conditions"] if c["type"] == "Ready")
    assert "once spec.autoscaling.wakeQuery is above 0" in ready["message"]
    assert idle() == 0
    stage.annotate("again")
    stage.settle()
    assert idle() is None, "checks are asked for: KEDA raises it to the minimum"
    stage.change(spec_of(replicas=1, **fields))
    stage.load()
    stage.finish("smoke")
    assert idle() == 0
    stage.change(spec_of(replicas=0, engine={"maxNumSeqs": 8}, **fields))
    stage.load()
    assert idle() is None, "another revision is to be proven"


def test_a_route_and_an_ingress_come_and_go() -> None:
    service = {"gateway": {"name": "public"}, "ingress": {"hosts": ["llama.example.com"]}}
    stage = Stage(spec_of(service=service, validation=None))
    stage.load()
    assert len(stage.of("HTTPRoute")) == len(stage.of("Ingress")) == 1
    url = stage.status["url"]
    stage.change(spec_of(validation=None, suspend=True, service=service))
    stage.load()
    assert stage.of("HTTPRoute"), "the way in stays"
    stage.change(spec_of(validation=None))
    stage.load()
    assert stage.of("HTTPRoute") == stage.of("Ingress") == []
    assert stage.status["url"] == url


def test_a_route_that_leads_nowhere_is_told_of() -> None:
    gateway = {"name": "public", "namespace": "gateways"}
    stage = Stage(spec_of(service={"gateway": gateway}, validation=None))
    stage.load()
    (route,) = stage.of("HTTPRoute")

    def says(*told: tuple[str, str], generation: int = 1, minutes: int = 0) -> str:
        conditions = [
            {
                "type": kind,
                "status": status,
                "reason": "NoMatchingParent",
                "message": "no listener",
                "observedGeneration": generation,
            }
            for kind, status in told
        ]
        before = {"name": "before", "namespace": "gateways"}
        refused = {"type": "Accepted", "status": "False", "reason": "NoMatchingParent"}
        parents = [
            {"parentRef": before, "conditions": [refused]},
            {"parentRef": gateway, "conditions": conditions},
        ]
        route["status"] = {"parents": parents if conditions else []}
        made = stage.now - timedelta(minutes=minutes)
        route["metadata"] |= {"generation": 1, "creationTimestamp": format_time(made)}
        stage.objects["HTTPRoute", "llama"] = route
        works = told == (("Accepted", "True"), ("ResolvedRefs", "True")) and generation == 1
        assert (stage.decision()[1].plan.wake_at is None) == works
        stage.step()
        return " ".join(w for w in stage.status.get("warnings", []) if "HTTPRoute" in w)

    assert says(("Accepted", "True"), ("ResolvedRefs", "True")) == ""
    for refused in (
        (("Accepted", "False"), ("ResolvedRefs", "True")),
        (("Accepted", "True"), ("ResolvedRefs", "False")),
    ):
        told = says(*refused)
        assert told.startswith('HTTPRoute llama leads nowhere: NoMatchingParent: "no listener"; ')
        assert "Gateway gateways/public of spec.service.gateway" in told
    assert says(("Accepted", "False"), generation=0) == "", "it is of the route before"
    assert says() == ""
    assert "no controller has answered" in says(minutes=2)


@pytest.mark.parametrize(
    ("fields", "absent", "settings", "reason", "told"),
    [
        (
            {"service": {"gateway": {"name": "public"}}},
            {"HTTPRoute"},
            SETTINGS,
            "GatewayApiMissing",
            ["Gateway public", "spec.service.ingress"],
        ),
        ({"autoscaling": ZERO}, {"ScaledObject"}, KEDA, "KedaMissing", ["have KEDA installed"]),
        ({"autoscaling": ZERO}, set(), SETTINGS, "KedaMissing", ["prometheusAddress"]),
    ],
)
def test_what_the_cluster_has_not(
    fields: dict[str, Any], absent: set[str], settings: Settings, reason: str, told: list[str]
) -> None:
    given = Input(spec_of(**fields), settings, "llama", frozenset(absent))
    problem = first_problem(given)
    assert problem is not None
    assert problem.reason == reason
    assert problem.unwatched == bool(absent), "what is installed is not watched"
    for part in told:
        assert part in problem.message
    assert first_problem(Input(spec_of(**fields), KEDA, "llama")) is None


def test_without_a_gateway_nothing_is_missed() -> None:
    absent = frozenset({"HTTPRoute", "ScaledObject"})
    assert first_problem(Input(spec_of(autoscaling=SCALED), KEDA, "llama", absent)) is None


def test_every_job_has_the_key_as_a_file_and_no_argument_holds_it() -> None:
    validation = {"dummy": {}, "smoke": {}, "mmlu": {}, "evals": [{"task": "gsm8k"}]}
    reference = {"parity": {"reference": {"configMap": "answers"}}}
    stage = Stage(spec_of(service={"apiKeySecret": KEY}, validation=validation | reference))
    stage.settle()
    stage.finish("dummy")
    stage.prove("smoke", "mmlu", "evals")
    jobs = stage.of("Job")
    assert len(jobs) == 5
    for job in jobs:
        pod = job["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert "--api-key-file=/api-key/api-key" in container["args"]
        (volume,) = [v for v in pod["volumes"] if v["name"] == "api-key"]
        items = [{"key": "token", "path": "api-key"}]
        assert volume["secret"] == {"secretName": "key", "items": items}
    (serving,) = pods_spec(stage)["containers"]
    assert not [a for a in serving["args"] if "key" in a]
    assert {"name": "VLLM_API_KEY", "valueFrom": {"secretKeyRef": KEY}} in serving["env"]
