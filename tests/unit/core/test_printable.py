"""Text of servers, registries and users comes out printable, and in quotation marks."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from ascendllm.checks.result import compact_json, read_result, readable_json
from ascendllm.exceptions import SpecError
from ascendllm.kube.events import event
from ascendllm.report.document import document
from ascendllm.report.html import html
from ascendllm.report.markdown import markdown
from ascendllm.report.overview import detail, overview
from ascendllm.report.table import aligned
from ascendllm.state.caches import filling
from ascendllm.state.diagnosis import diagnose
from ascendllm.state.pods import Pod, held_up, own_server_crash, refusal
from ascendllm.state.stage import Stage as PodStage
from ascendllm.state.stage import quoted
from ascendllm.status.build import failed_status, refused_status
from unit.core.stage import Stage, spec_of
from unit.core.test_report import RESOURCE, TEMPLATE, poisoned
from unit.core.test_stages import crashed, waiting

ADVICE = "run: kubectl delete ns"
HOSTILE = f'\x1b]0;x\x07\x1b[2J\x9b31m\u202e\u2066\u200b"; {ADVICE}\ud800\r\n\u2028\u2029\ufeff'
RESOURCE_OF_EVENT = {
    "apiVersion": "ascendllm.io/v1alpha1",
    "kind": "AscendLLM",
    "metadata": {"name": "llama", "namespace": "default", "uid": "u", "resourceVersion": "1"},
}
SCHEDULED = {"type": "PodScheduled", "status": "True"}


def pod(status: Mapping[str, Any]) -> dict[str, Any]:
    return {"metadata": {"name": "llama-1"}, "status": status}


def message_of(**status: Any) -> str:
    stage = Pod.read(pod({"phase": "Pending", **status})).stage
    assert stage.reason.isprintable()
    return stage.message


def container(name: str = "vllm", restarts: int = 0, **state: Any) -> list[dict[str, Any]]:
    return [{"name": name, "restartCount": restarts, **state}]


def waits(reason: str) -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": HOSTILE}}


def ended(message: str = HOSTILE) -> dict[str, Any]:
    return {"terminated": {"exitCode": 1, "reason": "Error", "message": message}}


def unschedulable() -> dict[str, Any]:
    return {"type": "PodScheduled", "status": "False", "message": HOSTILE}


def refused() -> str:
    failure = {"type": "ReplicaFailure", "status": "True", "message": HOSTILE}
    stage = refusal({"status": {"conditions": [failure]}})
    assert stage is not None
    return stage.message


def failed_download() -> str:
    labels = {"ascendllm.io/cache": "c", "batch.kubernetes.io/job-name": "j"}
    condition = {"type": "Failed", "status": "True", "reason": "Failed", "message": "limit"}
    job = {
        "metadata": {"name": "j", "uid": "u", "labels": labels},
        "spec": {"template": {"spec": {"containers": [{"image": "i"}]}}},
        "status": {"conditions": [condition]},
    }
    of_job = {
        "metadata": {"name": "p", "labels": labels, "ownerReferences": [{"uid": "u"}]},
        "status": {"containerStatuses": container("download", state=ended())},
    }
    found = filling("c", [job], [of_job])
    assert found is not None
    assert ADVICE in found.failure
    return found.failure


def result_message() -> str:
    result = {
        "check": "smoke",
        "result": "Error",
        "reason": "Strange",
        "message": HOSTILE,
        "startedAt": "",
        "finishedAt": "",
        "protocolNumber": 1,
        "harness": "0",
    }
    return read_result(json.dumps(result)).message


def own_server() -> str:
    told = own_server_crash(
        pod(
            {"initContainerStatuses": container(restarts=9, state=ended(f"vllm: error: {HOSTILE}"))}
        )
    )
    assert told is not None
    return told


def diagnosed(line: str) -> str:
    found = diagnose(line)
    assert found is not None
    return f"{found.message}: {found.line}"


ONE_LINE: dict[str, Callable[[], str]] = {
    "no image": lambda: message_of(
        conditions=[SCHEDULED], containerStatuses=container(state=waits("ErrImagePull"))
    ),
    "waiting": lambda: message_of(
        conditions=[SCHEDULED],
        containerStatuses=container(state=waits("CreateContainerConfigError")),
    ),
    "strange reason": lambda: message_of(
        conditions=[SCHEDULED], containerStatuses=container(state=waits(HOSTILE))
    ),
    "init container": lambda: message_of(
        conditions=[SCHEDULED], initContainerStatuses=container("facts", state=waits("Strange"))
    ),
    "crash": lambda: message_of(
        conditions=[SCHEDULED],
        containerStatuses=container(
            restarts=3, state=waits("CrashLoopBackOff"), lastState=ended(HOSTILE)
        ),
    ),
    "failed": lambda: message_of(phase="Failed", reason=HOSTILE, message=HOSTILE),
    "unschedulable": lambda: message_of(conditions=[unschedulable()]),
    "refused": refused,
    "job without a node": lambda: str(held_up(pod({"conditions": [unschedulable()]}))),
    "job held up": lambda: str(held_up(pod({"containerStatuses": container(state=waits("X"))}))),
    "own server": own_server,
    "download": failed_download,
    "unknown option": lambda: diagnosed(f"vllm: error: {HOSTILE}"),
    "adapter": lambda: diagnosed(f"No adapter found for \x1b[2J{ADVICE.replace(' ', '_')}"),
    "log line": lambda: diagnosed(f"\x1b[2J OSError: No space left on device {HOSTILE}"),
    "stage": lambda: PodStage("Loading", HOSTILE).message,
    "result": result_message,
    "event": lambda: event(RESOURCE_OF_EVENT, "Warning", "Strange", HOSTILE, "now")["message"],
    "event's reason": lambda: event(RESOURCE_OF_EVENT, "Warning", HOSTILE, "", "now")["reason"],
}


@pytest.mark.parametrize("place", ONE_LINE)
def test_a_message_is_one_printable_line(place: str) -> None:
    text = ONE_LINE[place]()
    assert text.isprintable()
    assert "kubectl" in text


@pytest.mark.parametrize(
    "place", ["no image", "waiting", "crash", "unschedulable", "refused", "own server", "download"]
)
def test_a_text_of_others_cannot_leave_its_quotation_marks(place: str) -> None:
    text = ONE_LINE[place]()
    inside = text.split('"')[1::2]
    assert any(ADVICE in part for part in inside)
    assert all(ADVICE not in part for part in text.split('"')[::2])


def test_a_group_of_a_cause_is_quoted_unless_it_is_a_word() -> None:
    found = diagnose(f'vllm: error: x". {ADVICE}')
    assert found is not None
    assert f'vllm serve refuses an option: "x\'. {ADVICE}": mend' in found.message
    assert quoted(" a “b” ") == "\"a 'b'\""


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts(item)


def test_the_status_of_a_crashing_server_is_printable() -> None:
    stage = waiting(crashed(HOSTILE), log=f"vllm: error: {HOSTILE}")
    assert any(ADVICE in text for text in texts(stage.status))
    assert all(text.isprintable() for text in texts(stage.status))


def test_the_figures_of_a_check_are_printable() -> None:
    stage = Stage(spec_of(validation={"smoke": {}}))
    stage.load()
    row = {"name": HOSTILE, "result": "Passed", "expected": HOSTILE, "seen": HOSTILE}
    stage.finish("smoke", vllm=HOSTILE, checks=[row])
    shown = stage.status["validation"]["smoke"]["checks"][0]
    assert "kubectl" in shown["seen"]
    assert all(text.isprintable() for text in texts(stage.status))


def test_a_revalidate_value_is_echoed_to_the_letter() -> None:
    stage = Stage(spec_of(validation={"smoke": {}}))
    stage.load()
    stage.finish("smoke")
    stage.annotate("once\u200b more\n")
    stage.settle()
    stage.finish("smoke")
    assert stage.status["lastHandledRevalidate"] == "once\u200b more\n"


def test_what_an_api_server_answers_is_printable_in_the_status() -> None:
    observed = Stage().observed()
    for status in (
        failed_status(observed, HOSTILE, HOSTILE),
        refused_status(observed, SpecError("InvalidSpec", f"spec.x: not {HOSTILE}")),
    ):
        assert any(ADVICE in text for text in texts(status))
        assert all(text.isprintable() for text in texts(status))


def hostile_resource() -> dict[str, Any]:
    """A status that somebody else wrote: the commands are the last line of defence."""
    resource: dict[str, Any] = poisoned(copy.deepcopy(RESOURCE), HOSTILE)
    resource["status"]["conditions"][0]["type"] = "Ready"
    resource["status"]["warnings"] = [HOSTILE]
    return resource


def made() -> Any:
    return document(hostile_resource(), subjects=HOSTILE, template=poisoned(TEMPLATE, HOSTILE))


LINES: dict[str, Callable[[], str]] = {
    "overview": lambda: overview([hostile_resource()]),
    "detail": lambda: detail(hostile_resource()),
    "table": lambda: aligned([("a", "b"), (HOSTILE, HOSTILE)]),
    "markdown": lambda: markdown(made()),
    "html": lambda: html(made()),
    "json": lambda: readable_json({"a": HOSTILE}),
}


@pytest.mark.parametrize("form", LINES)
def test_what_a_command_prints_is_printable(form: str) -> None:
    text = LINES[form]()
    assert "kubectl" in text
    assert all(line.isprintable() for line in text.split("\n"))


def test_json_loses_nothing() -> None:
    value = {"a": HOSTILE, "b": ["안녕\n", "\U000e0001"]}
    assert json.loads(readable_json(value)) == value
    assert "안녕" in readable_json(value)
    assert json.loads(readable_json({"a": "안녕"})) == json.loads(compact_json({"a": "안녕"}))
