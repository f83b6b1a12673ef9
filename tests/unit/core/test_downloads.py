"""What is downloaded once for whom: the names of caches, and what is decided about them."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.api.crd import KIND
from ascendllm.api.spec import Spec
from ascendllm.desired import names
from ascendllm.desired.cache import cached_models
from ascendllm.runtime.watch import _users
from unit.core.stage import Stage, spec_of

SIZE = {"size": "40Gi"}


def model(source: dict[str, Any] | None = None, cache: dict[str, Any] | None = None) -> Any:
    hub = {"huggingFace": {"repo": "org/llama"}}
    return {"source": source or hub, "cache": cache or SIZE}


def spec(**fields: Any) -> Spec:
    return spec_of(validation=None, **({"model": model()} | fields))


def hub(**fields: Any) -> dict[str, Any]:
    return {"huggingFace": {"repo": "org/llama", **fields}}


def name(**fields: Any) -> str:
    (cached,) = cached_models(spec(**fields))
    return cached.name


NAMES = {
    "model-9ca7e64387": model(),
    "model-982445cea5": model({"modelScope": {"repo": "org/llama"}}),
    "model-895d94d8bb": model({"s3": {"uri": "s3://models/llama/"}}),
    "model-2ab0ccc3cb": model({"oci": {"image": "registry.test/llama:1"}}, {"claimName": "models"}),
}


@pytest.mark.parametrize(("wanted", "given"), NAMES.items())
def test_a_caches_name_never_changes(wanted: str, given: dict[str, Any]) -> None:
    """It stands in recorded templates: another one would download again, and restart models."""
    assert name(model=given) == wanted


SAME = [
    model(hub(revision="main")),
    model(hub(tokenSecret={"name": "a", "key": "b"})),
    model(cache={"size": "80Gi", "retain": False}),
    model(cache={"size": "40Gi", "accessMode": "ReadWriteMany"}),
]
OTHERS = [
    model(hub(revision="v2")),
    model(hub(endpoint="https://mirror.test")),
    model(cache={"claimName": "models"}),
    model(cache={"size": "40Gi", "storageClassName": "fast"}),
    model(cache={"size": "40Gi", "accessMode": "ReadWriteOnce"}),
]


@pytest.mark.parametrize("given", SAME)
def test_how_one_is_let_in_and_how_large_it_is_make_no_other_cache(given: dict[str, Any]) -> None:
    assert name(model=given) == name()


def test_everything_else_does() -> None:
    found = {name(model=given) for given in OTHERS}
    dummy = name(engine={"args": ["--load-format=dummy"]})
    assert len(found | {dummy, name()}) == len(OTHERS) + 2


def test_what_is_lost_is_fetched_again_and_nothing_else() -> None:
    stage = Stage(spec())
    stage.load()
    assert stage.conditions["Ready"] == "True/NoValidation"
    (record,) = [
        item for item in stage.of("ConfigMap") if names.CACHE in item["metadata"]["labels"]
    ]
    del stage.objects["ConfigMap", record["metadata"]["name"]]
    stage.settle()
    assert stage.conditions["Ready"] == "True/NoValidation", "what serves goes on serving"
    stage.download()
    assert stage.status["download"]["percent"] == 100


def test_an_unreadable_record_is_no_model() -> None:
    stage = Stage(spec())
    stage.settle()
    (record,) = [
        item for item in stage.of("ConfigMap") if names.CACHE in item["metadata"]["labels"]
    ]
    for text in ("", "[]", "{", '{"result": 1}', '{"result": "Failed", "attempt": "x"}', "null"):
        record["data"]["result.json"] = text
        record["data"]["progress.json"] = text
        record["data"]["attempts.json"] = text
        stage.step()
        assert stage.conditions["Ready"] == "Unknown/Downloading", text
        assert not stage.of("Deployment")


def test_an_event_of_a_shared_object_is_everybodys() -> None:
    owners = [
        {"kind": KIND, "name": "a"},
        {"kind": KIND, "name": "b"},
        {"kind": "Pod", "name": "c"},
    ]
    assert _users({}, {"ownerReferences": owners}) == {"a", "b"}
    assert _users({names.NAME: "x"}, {"ownerReferences": owners}) == {"x"}
    assert _users({}, {}) == set()
