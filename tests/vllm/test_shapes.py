"""Every answer and every refusal of the simulator has the real server's shape."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vllm.cases import NO_TEMPLATE, REQUESTS, Request
from vllm.engine import OPTIONS, SERVED, Engine, make_model, serving
from vllm.shapes import Answer, ask, differences
from vllm.simulator import simulating


@pytest.fixture(scope="session")
def simulator(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The simulator with the same model and the same options; its address."""
    log = tmp_path_factory.mktemp("simulator") / "log"
    with simulating(engine.model, log, [f"--served-model-name={SERVED}", *OPTIONS]) as url:
        yield url


def send(url: str, request: Request) -> Answer:
    headers = {"content-type": "application/json", **request.headers}
    if request.body is None:
        return ask(url, request.method, request.path, None, request.headers)
    body = request.body
    if not isinstance(body, bytes):
        body = json.dumps(with_ids(url, body)).encode()
    return ask(url, request.method, request.path, body, headers)


def with_ids(url: str, value: Any) -> Any:
    """The body with each `ids:TEXT` as the server's own ids; a list of several is one list."""
    if isinstance(value, dict):
        return {
            key: [
                token for item in filled for token in (item if isinstance(item, list) else [item])
            ]
            if key == "allowed_token_ids"
            else filled
            for key, filled in ((key, with_ids(url, item)) for key, item in value.items())
        }
    if isinstance(value, list):
        return [with_ids(url, item) for item in value]
    if isinstance(value, str) and value.startswith("ids:"):
        asked = {"prompt": value.removeprefix("ids:"), "add_special_tokens": False}
        kind = {"content-type": "application/json"}
        return ask(url, "POST", "/tokenize", json.dumps(asked).encode(), kind).body["tokens"]
    return value


@pytest.mark.parametrize("request_", REQUESTS, ids=lambda request: request.name)
def test_an_answer_has_the_real_shape(engine: Engine, simulator: str, request_: Request) -> None:
    assert differences(send(engine.url, request_), send(simulator, request_)) == []


def test_the_metrics_are_the_real_ones(engine: Engine, simulator: str) -> None:
    """What is not vLLM's own (the process's, Python's, the HTTP library's) is left out."""
    answers = [ask(url, "GET", "/metrics", None, {}) for url in (engine.url, simulator)]
    kinds = [answer.headers["content-type"].partition(";")[0] for answer in answers]
    assert kinds == ["text/plain", "text/plain"]
    real, ours = (series(answer.body) for answer in answers)
    absent = {name for name in real - ours if not left_out(name)}
    assert absent == set()
    assert ours - real == set()


_COUNTED_BY = ("finished_reason", "sleep_state", "source")


def series(text: str) -> set[str]:
    """`name{label=…}` of each series, with the values of those labels that say what is counted."""
    found = set()
    for line in text.splitlines():
        if not line.startswith("vllm:"):
            continue
        name, _, labels = line.rpartition(" ")[0].partition("{")
        kept = sorted(
            f"{key}={value}" if key in _COUNTED_BY else key
            for key, value in re.findall(r'(\w+)="([^"]*)"', labels)
        )
        found.add(name if name == "vllm:cache_config_info" else f"{name}{{{','.join(kept)}}}")
    return found


def left_out(name: str) -> bool:
    """What a test of ours or an operator never reads: when a series began, and GPU estimates."""
    return name.partition("{")[0].endswith("_created") or "_per_gpu" in name


def test_a_model_without_a_template_is_refused_alike(
    engine: Engine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder: Path = tmp_path_factory.mktemp("base")
    model = make_model(folder / "tiny", "--no-chat-template")
    with (
        serving(engine.environment, model, folder / "log") as real,
        simulating(model, folder / "ours", [f"--served-model-name={SERVED}", *OPTIONS]) as ours,
    ):
        for request in NO_TEMPLATE:
            assert differences(send(real.url, request), send(ours, request)) == [], request.name
