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
LOCAL = {"source": {"hostPath": "/opt/atomgit/llama"}}


def model(source: dict[str, Any] | None = None, cache: dict[str, Any] | None = None) -> Any:
    hub = {"huggingFace": {"repo": "org/llama"}}
    return {"source": source or hub, "cache": cache or SIZE}


def spec(**fields: Any) -> Spec:
    return spec_of(validation=None, **({"model": model()} | fields))


def hub(**fields: Any) -> dict[str, Any]:
    return {"huggingFace": {"repo": "org/llama", **fields}}


def adapters(**given: dict[str, Any]) -> dict[str, Any]:
    """An engine with adapters by name."""
    return {"loras": [{"name": name, **where} for name, where in given.items()]}


def adapter(name: str = "legal", **fields: Any) -> dict[str, Any]:
    return {"source": {"huggingFace": {"repo": f"org/{name}", **fields}}, "cache": SIZE}


def on_a_claim(claim: str) -> dict[str, Any]:
    return {**adapter(), "cache": {"claimName": claim}}


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


def test_an_adapters_cache_is_named_alike_for_whoever_wants_it() -> None:
    (ours, theirs) = (
        cached_models(spec(model=LOCAL, engine=adapters(**{given: adapter()})))
        for given in ("legal", "law")
    )
    assert [item.name for item in (*ours, *theirs)] == ["adapter-3a014701ee"] * 2


def test_each_is_fetched_once_the_model_first() -> None:
    engine = adapters(legal=adapter(), law=adapter(), itself=model(), tax=adapter("tax"))
    found = cached_models(spec(engine=engine))
    assert [item.adapter for item in found] == [None, "legal", "itself", "tax"]
    assert len({item.name for item in found}) == 4, "a model is no adapter, wherever it is"


def test_no_weights_are_the_models_alone() -> None:
    engine = {**adapters(legal=adapter()), "args": ["--load-format=dummy"]}
    assert [item.weights for item in cached_models(spec(engine=engine))] == [False, True]


def message(stage: Stage) -> str:
    (ready,) = [c for c in stage.status["conditions"] if c["type"] == "Ready"]
    return str(ready["message"])


def test_no_pod_starts_before_the_last_adapter_is_there() -> None:
    engine = adapters(legal=adapter(), tax=adapter("tax"))
    stage = Stage(spec(model=LOCAL, engine=engine))
    stage.settle()
    assert (stage.conditions["Ready"], message(stage)) == (
        "Unknown/Downloading",
        "adapter legal: starting the download",
    )
    legal, tax = cached_models(stage.spec)
    stage.download(legal.name)
    assert message(stage) == "adapter tax: starting the download"
    assert not stage.of("Deployment")
    assert "download" not in stage.status, "the model itself is not downloaded"
    stage.download(tax.name)
    assert stage.of("Deployment")
    stage.load()
    assert stage.conditions["Ready"] == "True/NoValidation"


def test_the_models_own_download_is_shown_beside_an_adapters() -> None:
    stage = Stage(spec(engine=adapters(legal=adapter())))
    stage.settle()
    itself, legal = cached_models(stage.spec)
    stage.download(legal.name, bytes=77)
    assert message(stage) == "starting the download"
    stage.download(itself.name)
    assert (stage.status["download"]["cache"], stage.status["download"]["bytes"]) == (
        itself.name,
        1000,
    )


def test_a_failed_adapter_is_named_though_another_is_under_way() -> None:
    stage = Stage(spec(model=LOCAL, engine=adapters(legal=adapter(), tax=adapter("tax"))))
    stage.settle()
    _, tax = cached_models(stage.spec)
    told = {"reason": "NotAnAdapter", "message": "there is no adapter_config.json", "again": False}
    stage.download(tax.name, result="Failed", **told)
    assert stage.conditions["Ready"] == "False/NotAnAdapter"
    assert message(stage).startswith("adapter tax: there is no adapter_config.json")


def test_a_missing_claim_is_told_by_the_adapters_field() -> None:
    stage = Stage(spec(model=LOCAL, engine=adapters(a=adapter(), legal=on_a_claim("gone"))))
    stage.claims["gone"] = None
    stage.settle()
    assert stage.conditions["Ready"] == "False/ClaimMissing"
    assert "spec.engine.loras[legal].cache.claimName gone" in message(stage)


def test_how_one_is_let_in_to_an_adapter_makes_no_other_revision() -> None:
    token = {"name": "hub", "key": "token"}
    stage = Stage(spec(model=LOCAL, engine=adapters(legal=adapter())))
    stage.load()
    larger = {**adapter(tokenSecret=token), "cache": {"size": "80Gi", "retain": False}}
    stage.change(spec(model=LOCAL, engine=adapters(legal=larger)))
    stage.settle()
    assert len(stage.of("ControllerRevision")) == 1
    assert stage.conditions["Ready"] == "True/NoValidation"
    stage.change(spec(model=LOCAL, engine=adapters(legal=adapter(revision="v2"))))
    stage.settle()
    assert len(stage.of("ControllerRevision")) == 2


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
