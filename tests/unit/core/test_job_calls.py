"""The jobs' calls against the command that they call."""

from __future__ import annotations

import importlib
import json
import re
from typing import Any

import click
import pytest

from ascendllm.api.spec import Spec
from ascendllm.checks.evals.task import parse_task
from ascendllm.checks.smoke.prompts import read_prompts
from ascendllm.cli.download import command as download
from ascendllm.cli.validate import CHECKS as COMMANDS
from ascendllm.decide.checks import CHECKS
from ascendllm.desired.checks.call import Given, in_flight, number
from ascendllm.desired.job import validation_job
from ascendllm.desired.owner import Owner
from ascendllm.download.source import parse_source
from unit.core.check_rules import ACCEPTED, spec_with
from unit.core.test_golden import CASES, containers, objects

OWNER = Owner("default", "llama", "00000000-0000-0000-0000-00000000000a")
LINUX_ARGUMENT_BYTES = 128 * 1024


def job(spec: Spec, check: str, *, has_traffic: bool = False) -> dict[str, Any]:
    return validation_job(
        OWNER,
        spec,
        check=check,
        run="0123456789",
        revision="abcdef0123",
        image="validator:1",
        mmlu_data=spec.validation.mmlu.data
        if spec.validation is not None and spec.validation.mmlu is not None
        else None,
        has_traffic=has_traffic,
    )


def arguments(item: dict[str, Any]) -> list[str]:
    """A job's arguments as its process gets them."""
    (container,) = item["spec"]["template"]["spec"]["containers"]
    return [expanded(argument) for argument in container["args"]]


def expanded(text: str) -> str:
    """What Kubernetes makes of an argument: `$$` is a dollar, `$(NAME)` a variable's value."""
    return re.sub(
        r"\$\$|\$\(([^)]*)\)", lambda found: "$" if found[1] is None else f"<{found[1]}>", text
    )


def parsed(call: list[str]) -> dict[str, Any]:
    """The call's options, read by the command itself."""
    assert call[0] == "validate"
    assert call[1] in COMMANDS
    command: click.Command = importlib.import_module(f"ascendllm.cli.validate.{call[1]}").command
    return command.make_context(call[1], call[2:]).params


@pytest.mark.parametrize("case", CASES)
def test_every_call_is_one_that_the_command_takes(case: str) -> None:
    for container in containers(objects(case), "Job"):
        call = [expanded(argument) for argument in container["args"]]
        if call[0] == "download":
            params = download.make_context("download", call[1:]).params
            assert params["root"].name == params["configmap"]
            parse_source(
                params["source"],
                revision=params["revision"],
                endpoint=params["endpoint"],
                region=params["region"],
                weights=not params["no_weights"],
                adapter=params["adapter"],
            )
            continue
        params = parsed(call)
        assert params["run_configmap"].startswith(params["model"].rpartition("/")[2][:3])


@pytest.mark.parametrize(("path", "value"), ACCEPTED, ids=[f"{a[0]}={a[1]}"[:60] for a in ACCEPTED])
def test_every_field_at_its_edge_becomes_a_call_that_the_command_takes(
    path: str, value: Any
) -> None:
    spec = Spec.model_validate(spec_with(path, value))
    assert spec.validation is not None
    for check in CHECKS:
        if getattr(spec.validation, check) is None:
            continue
        call = arguments(job(spec, check))
        if check == "mmlu" and not any(argument.startswith("--data=") for argument in call):
            call.append("--data=/mmlu")
        assert max(len(argument.encode()) for argument in call) < LINUX_ARGUMENT_BYTES
        parsed(call)


def test_a_prompt_arrives_as_it_was_written() -> None:
    texts = ["$(HOME) $$ $", "a'\"\\\n\t", "안녕하세요", "--flag", "$$(HOME)"]
    prompts = [{"prompt": text, "expect": "^\\$"} for text in texts]
    call = arguments(job(Spec.model_validate(spec_with("smoke.prompts", prompts)), "smoke"))
    cases = read_prompts(parsed(call)["prompts"])
    assert [case.prompt for case in cases] == texts
    assert {case.expect for case in cases} == {"^\\$"}


def test_a_task_arrives_as_it_was_written() -> None:
    task = {"task": "gsm8k", "shots": 5, "filter": "strict-match", "metric": "exact_match"}
    task |= {"baseline": 92.7, "tolerance": 0.5, "limit": 100}
    spec = Spec.model_validate(spec_with("evals", [task]))
    item = job(spec, "evals")
    (text,) = parsed(arguments(item))["tasks"]
    read = parse_task(text)
    assert {key: str(value) for key, value in read.bound().items()} == {
        "task": "gsm8k",
        "filter": "strict-match",
        "metric": "exact_match",
        "baseline": "92.7",
        "tolerance": "0.5",
    }
    assert (read.shots, read.limit) == (5, 100)


@pytest.mark.parametrize(
    ("sequences", "has_traffic", "wanted"),
    [(None, False, 256), (None, True, 64), (16, True, 4), (3, True, 1), (65_536, False, 4096)],
)
def test_accuracy_is_asked_with_what_the_engine_runs_at_once(
    sequences: int | None, has_traffic: bool, wanted: int
) -> None:
    fields = spec_with("mmlu", {"data": {"pvc": {"claimName": "mmlu"}}})
    fields["engine"] = {"maxNumSeqs": sequences} if sequences is not None else {}
    spec = Spec.model_validate(fields)
    assert spec.validation is not None
    assert in_flight(Given(spec, spec.validation, has_traffic)) == wanted
    assert parsed(arguments(job(spec, "mmlu", has_traffic=has_traffic)))["concurrency"] == wanted


def test_what_is_read_of_one_claim_is_read_through_one_volume() -> None:
    read = {part: {"pvc": {"claimName": "sets", "path": part}} for part in ("data", "answers")}
    mmlu = {"data": read["data"], "reference": {"data": read["answers"]}}
    pod = job(Spec.model_validate(spec_with("mmlu", mmlu)), "mmlu")["spec"]["template"]["spec"]
    (volume,) = [item for item in pod["volumes"] if "persistentVolumeClaim" in item]
    mounts = pod["containers"][0]["volumeMounts"]
    assert [m["subPath"] for m in mounts if m["name"] == volume["name"]] == ["data", "answers"]


def test_clients_do_not_wait_behind_the_burst_of_smoke() -> None:
    fields = spec_with("smoke", {})
    fields["engine"] = {"maxNumSeqs": 512}
    spec = Spec.model_validate(fields)
    assert parsed(arguments(job(spec, "smoke")))["max_num_seqs"] == 512
    assert parsed(arguments(job(spec, "smoke", has_traffic=True)))["max_num_seqs"] is None


def test_several_pods_end_together() -> None:
    spec = Spec.model_validate(spec_with("bench", {"concurrency": 8, "shards": 2, "requests": 8}))
    item = job(spec, "bench")["spec"]
    assert (item["completionMode"], item["completions"], item["parallelism"]) == ("Indexed", 2, 2)
    assert item["backoffLimit"] == 0
    assert {rule["action"] for rule in item["podFailurePolicy"]["rules"]} == {"FailJob"}


def test_the_keys_of_a_store_come_from_the_secret_alone() -> None:
    store = {"uri": "s3://bucket/mmlu/", "credentialsSecret": {"name": "obs"}}
    spec = Spec.model_validate(spec_with("mmlu", {"data": {"s3": store}}))
    (container,) = job(spec, "mmlu")["spec"]["template"]["spec"]["containers"]
    assert [(e["name"], e["valueFrom"]["secretKeyRef"]["key"]) for e in container["env"]] == [
        ("AWS_ACCESS_KEY_ID", "accessKeyId"),
        ("AWS_SECRET_ACCESS_KEY", "secretAccessKey"),
        ("AWS_SESSION_TOKEN", "sessionToken"),
    ]
    assert all(set(entry) == {"name", "valueFrom"} for entry in container["env"])
    assert "obs" not in json.dumps(container["args"])


def test_a_reference_is_mounted_with_its_key_and_nothing_else() -> None:
    for path, check, key in (
        ("mmlu", "mmlu", "answers.json"),
        ("parity", "parity", "reference.jsonl"),
    ):
        fields: dict[str, Any] = {"reference": {"configMap": "run"}}
        if check == "mmlu":
            fields["data"] = {"pvc": {"claimName": "mmlu"}}
        item = job(Spec.model_validate(spec_with(path, fields)), check)
        (volume,) = [v for v in item["spec"]["template"]["spec"]["volumes"] if "configMap" in v]
        assert volume["configMap"] == {"name": "run", "items": [{"key": key, "path": key}]}


@pytest.mark.parametrize(
    ("value", "text"),
    [(66.7, "66.7"), (0.1, "0.1"), (1e-9, "0.000000001"), (1e7, "10000000.0"), (5, "5.0")],
)
def test_a_number_is_written_without_an_exponent(value: float, text: str) -> None:
    assert number(value) == text


def test_a_number_that_is_large() -> None:
    assert float(number(1e300)) == 1e300
    assert "e" not in number(1e300)
