"""A user's text reaches a container's process as it is, whatever dollar signs it holds."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.api.spec import Spec
from ascendllm.desired.cache import cached_models
from ascendllm.desired.downloading import download_job
from ascendllm.desired.template import pod_template
from ascendllm.engine.arguments import escape_argument, unescape_argument
from ascendllm.report.sections.serving import started
from unit.core.kubelet import VARIABLES, command_line
from unit.core.stage import Stage, spec_of

KEY = "$(VLLM_API_KEY)"
SECRET = "sk-of-the-server"
VALUES = {**VARIABLES, "VLLM_API_KEY": SECRET}
SERVICE = {"apiKeySecret": {"name": "llama-key", "key": "token"}}
TEXTS = [KEY, f"${KEY}", f"$${KEY}", "$", "$$", "a$b", "$()", "$(A", "%24(VLLM_API_KEY)"]

USERS: dict[str, dict[str, Any]] = {
    "args": {"engine": {"args": [f"--chat-template=/x/{KEY}"]}},
    "values of one option": {"engine": {"args": [f"--middleware={KEY}", "--middleware=$$b"]}},
    "config": {"engine": {"config": {"chat-template": f"/x/{KEY}"}}},
    "config of a field": {"engine": {"config": {"compilation-config": {"a": KEY}}}},
    "additionalConfig": {"engine": {"additionalConfig": {KEY: KEY}}},
    "compilationConfig": {"engine": {"compilationConfig": {"a": KEY}}},
    "hostPath": {"model": {"source": {"hostPath": f"/opt/atomgit/{KEY}"}}},
}
GROUPS: dict[str, dict[str, Any]] = {
    "tensor": {"nodes": 2, "npu": {"count": 8, "generation": "A3"}},
    "one copy a pod": {
        "nodes": 2,
        "npu": {"count": 1, "generation": "A3"},
        "engine": {"dataParallelSize": 2},
    },
    "two copies a pod": {
        "nodes": 2,
        "npu": {"count": 2, "generation": "A3"},
        "engine": {"dataParallelSize": 4},
    },
}


def template(**fields: Any) -> dict[str, Any]:
    spec = spec_of(**({"service": SERVICE, "validation": None} | fields))
    return pod_template(Stage().owner, spec, {"image": "vllm:1"})


def server(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    found: dict[str, Any] = container
    return found


def download_of(spec: Spec) -> dict[str, Any]:
    """The job that fills the model's cache."""
    (cached,) = cached_models(spec)
    record = {"metadata": {"name": cached.name, "uid": "uid"}}
    return download_job(
        "default", cached, record, image="downloader:1", attempt=1, asked="0", env={}
    )


@given(st.text(st.sampled_from("$()VLM_ {}")))
def test_any_argument_reaches_the_process_as_it_is(text: str) -> None:
    assert command_line(["vllm", escape_argument(text)], {"V": SECRET})[1] == text
    assert unescape_argument(escape_argument(text)) == text


@given(st.text())
def test_an_argument_without_a_dollar_sign_is_not_changed(text: str) -> None:
    assert escape_argument(text.replace("$", "")) == text.replace("$", "")


def test_a_reference_in_an_argument_is_escaped() -> None:
    found = server(template(**USERS["args"]))["args"]
    assert found[-1] == "--chat-template=/x/$$(VLLM_API_KEY)"


@pytest.mark.parametrize("text", TEXTS)
def test_the_server_gets_the_argument_that_the_user_wrote(text: str) -> None:
    pod = template(engine={"args": [f"--chat-template={text}"]})
    assert command_line(server(pod)["args"], VALUES)[-1] == f"--chat-template={text}"


@pytest.mark.parametrize("fields", USERS.values(), ids=USERS)
def test_no_users_text_brings_the_key_into_the_argument_list(fields: dict[str, Any]) -> None:
    args = server(template(**fields))["args"]
    process = command_line(args, VALUES)
    assert not any(SECRET in argument for argument in process)
    assert any(KEY in argument for argument in process)
    assert process == [unescape_argument(argument) for argument in args]


@pytest.mark.parametrize("layout", GROUPS.values(), ids=GROUPS)
def test_the_references_of_a_group_are_expanded_and_a_users_are_not(
    layout: dict[str, Any],
) -> None:
    engine = {**layout.get("engine", {}), "args": [f"--chat-template=/{KEY}$(VLLM_HOST_IP)"]}
    pods = template(**layout | {"engine": engine})
    for role, address in (("leader", "VLLM_HOST_IP"), ("worker", "LWS_LEADER_ADDRESS")):
        args = server(pods[role])["args"]
        assert any(argument.endswith(f"=$({address})") for argument in args)
        process = command_line(args, VALUES)
        assert f"--chat-template=/{KEY}$(VLLM_HOST_IP)" in process
        assert any(argument.endswith(f"={VALUES[address]}") for argument in process)
        assert not any(SECRET in argument for argument in process)
    worker = command_line(server(pods["worker"])["args"], VALUES)
    ranks = [text for text in worker if text.startswith(("--node-rank", "--data-parallel-start"))]
    copies = layout.get("engine", {}).get("dataParallelSize", 2) // 2
    assert [text.partition("=")[2] for text in ranks] == [str(copies)]


def test_the_folder_is_probed_that_is_served() -> None:
    pod = template(**USERS["hostPath"])
    (probe,) = pod["spec"]["initContainers"]
    path = f"/opt/atomgit/{KEY}"
    assert probe["command"][-1] == server(pod)["args"][2] == escape_argument(path)
    (mount,) = probe["volumeMounts"]
    assert mount["mountPath"] == path, "Kubernetes expands nothing in a mount"


def test_a_variables_value_is_the_users_own_matter() -> None:
    pod = template(runtime={"env": {"OTHER": KEY}})
    assert {"name": "OTHER", "value": KEY} in server(pod)["env"]


def test_the_report_shows_the_arguments_as_the_server_got_them() -> None:
    section = started(template(**USERS["args"]))
    assert section is not None
    assert f"'--chat-template=/x/{KEY}'" in str(section.blocks[0])


@pytest.mark.parametrize("cache", [None, {"claimName": "models"}])
def test_a_folder_of_an_image_is_copied_from_the_path_that_the_user_wrote(
    cache: dict[str, Any] | None,
) -> None:
    source = {"oci": {"image": "registry.test/llama:1", "path": f"/{KEY}"}}
    spec = spec_of(model={"source": source, "cache": cache}, validation=None)
    pod = pod_template(Stage().owner, spec, {"image": "vllm:1"})
    if cache is not None:
        pod = download_of(spec)["spec"]["template"]
    (copy,) = [item for item in pod["spec"]["initContainers"] if item["image"] != "vllm:1"]
    assert any(argument.startswith("/$$(VLLM_API_KEY)") for argument in copy["command"])
