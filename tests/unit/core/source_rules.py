"""What source and cache of a model or an adapter may not be: as API server and models refuse it."""

from __future__ import annotations

from typing import Any

__all__ = ["ACCEPTED", "BOUNDS", "RULES"]

HUB = {"huggingFace": {"repo": "org/llama"}}
S3 = {"s3": {"uri": "s3://bucket/llama/"}}
OCI = {"oci": {"image": "registry.test/llama:1"}}
SIZE = {"size": "40Gi"}


def model(source: Any, cache: Any = None) -> dict[str, Any]:
    return {"source": source, **({"cache": cache} if cache is not None else {})}


def hub(**fields: Any) -> dict[str, Any]:
    return model({"huggingFace": {"repo": "org/llama", **fields}}, SIZE)


def adapters(*sources: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": f"adapter-{number}", **source} for number, source in enumerate(sources)]


RULES: list[tuple[str, Any, str]] = [
    ("model", model({}), "give exactly one source: hostPath, pvc, huggingFace, modelScope, s3"),
    ("model", model({**HUB, **S3}, SIZE), "give exactly one source"),
    ("model", model(HUB), "this source is downloaded: say where to by cache"),
    ("model", model({"modelScope": {"repo": "a/b"}}), "say where to by cache"),
    ("model", model(S3), "say where to by cache"),
    ("model", model({"hostPath": "/a"}, SIZE), "served from where they are"),
    ("model", model({"pvc": {"claimName": "a"}}, SIZE), "served from where they are"),
    ("model", model(HUB, {}), "give exactly one cache"),
    ("model", model(HUB, {**SIZE, "claimName": "a"}), "give exactly one cache"),
    ("model", model(HUB, {"claimName": "a", "retain": True}), "are of a new claim"),
    ("model", model(HUB, {"claimName": "a", "storageClassName": "b"}), "are of a new claim"),
    ("model", model(HUB, {"claimName": "a", "accessMode": "ReadWriteOnce"}), "of a new claim"),
    ("engine.loras", adapters(model({})), "give exactly one source: hostPath, pvc, huggingFace"),
    ("engine.loras", adapters(model({"hostPath": "/a", **OCI})), "give exactly one source"),
    ("engine.loras", adapters(model(OCI), model(HUB)), "this source is downloaded: say where to"),
    ("engine.loras", adapters(model({"pvc": {"claimName": "a"}}, SIZE)), "served from where they"),
    ("engine.loras", adapters(model(S3, {**SIZE, "claimName": "a"})), "give exactly one cache"),
    (
        "engine.loras",
        adapters(model({"oci": {"image": "a", "path": "/a/../b"}})),
        "must not contain '..'",
    ),
]

BOUNDS: list[tuple[str, Any]] = [
    ("model", hub(repo="llama")),
    ("model", hub(repo="a/b/c")),
    ("model", hub(repo="../b")),
    ("model", hub(repo="a/" + "b" * 200)),
    ("model", hub(revision="")),
    ("model", hub(revision="-x")),
    ("model", hub(revision="a b")),
    ("model", hub(endpoint="ftp://a")),
    ("model", hub(endpoint="https://user:secret@host")),
    ("model", hub(endpoint="https://host/?token=secret")),
    ("model", hub(tokenSecret={"name": "a"})),
    ("model", hub(tokenSecret={"name": "A", "key": "b"})),
    ("model", hub(tokenSecret={"name": "a", "key": "../b"})),
    ("model", model({"s3": {"uri": "https://bucket/a"}}, SIZE)),
    ("model", model({"oci": {"image": "a", "path": "models"}})),
    ("model", model(HUB, {"size": "much"})),
    ("model", model(HUB, {**SIZE, "accessMode": "ReadOnlyMany"})),
    ("model", model(HUB, {**SIZE, "retain": "maybe"})),
    ("engine.loras", adapters(hub(repo="llama"))),
    ("engine.loras", adapters(hub(tokenSecret={"name": "a"}))),
    ("engine.loras", adapters(model(HUB, {"size": "much"}))),
]

ACCEPTED: list[tuple[str, Any]] = [
    ("model", hub(revision="refs/pr/1", endpoint="http://mirror.test:8080")),
    ("model", hub(tokenSecret={"name": "hub", "key": "HF_TOKEN"})),
    ("model", model({"modelScope": {"repo": "LLM-Research/Meta-Llama-3.1-8B"}}, SIZE)),
    ("model", model({"modelScope": {"repo": "a/b", "endpoint": "https://modelscope.ai"}}, SIZE)),
    ("model", model(S3, {**SIZE, "retain": False, "accessMode": "ReadWriteOnce"})),
    ("model", model(S3, {"claimName": "models"})),
    ("model", model(OCI)),
    ("model", model(OCI, SIZE)),
    (
        "engine.loras",
        adapters(
            hub(tokenSecret={"name": "hub", "key": "HF_TOKEN"}),
            model({"modelScope": {"repo": "a/b"}}, SIZE),
            model(S3, {"claimName": "models"}),
            model(OCI),
            model(OCI, {**SIZE, "retain": False}),
            model({"pvc": {"claimName": "a"}}),
            model({"hostPath": "/a"}),
        ),
    ),
    ("engine.loras", adapters(*[hub()] * 32)),
]
