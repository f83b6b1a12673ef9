"""The CRD is structural, bounded, and what is checked in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ascendllm.api.crd import crd, structural

REPOSITORY = Path(__file__).resolve().parents[3]
SCHEMA = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
_KEYWORDS = {
    "additionalProperties", "default", "description", "enum", "exclusiveMaximum",
    "exclusiveMinimum", "format", "items", "maxItems", "maxLength", "maxProperties", "maximum",
    "minItems", "minLength", "minProperties", "minimum", "pattern", "properties", "required",
    "type", "x-kubernetes-list-map-keys", "x-kubernetes-list-type",
    "x-kubernetes-preserve-unknown-fields", "x-kubernetes-validations",
}  # fmt: skip


def nodes(schema: dict[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, schema
    for name, child in schema.get("properties", {}).items():
        yield from nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from nodes(schema[keyword], f"{path}[]")


ALL = dict(nodes(SCHEMA, ""))
SPEC = {path: node for path, node in ALL.items() if path.startswith(".spec")}


def test_what_is_checked_in_is_what_the_models_say() -> None:
    checked_in = yaml.safe_load((REPOSITORY / "crds" / "ascendllms.yaml").read_text())
    assert checked_in == crd(), "run `make crds`"


@pytest.mark.parametrize("path", ALL)
def test_a_node_is_structural(path: str) -> None:
    node = ALL[path]
    assert node.get("type") in ("object", "array", "string", "integer", "number", "boolean")
    assert set(node) <= _KEYWORDS
    if node["type"] == "array":
        assert "items" in node
    if node["type"] == "object":
        assert ("properties" in node) + ("additionalProperties" in node) <= 1


@pytest.mark.parametrize("path", SPEC)
def test_a_field_is_bounded_and_described(path: str) -> None:
    node = SPEC[path]
    if not path.endswith("[]"):
        assert node.get("description"), "a docstring is missing"
    match node["type"]:
        case "string":
            assert "enum" in node or "maxLength" in node
        case "array":
            assert "maxItems" in node
        case "integer" | "number":
            assert {"minimum", "maximum"} <= set(node)
        case "object" if "additionalProperties" in node:
            assert "maxProperties" in node
    for rule in node.get("x-kubernetes-validations", []):
        assert rule["message"]
        assert rule["reason"]


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "not": {}},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "patternProperties": {}},
        {"allOf": [{"type": "string"}]},
    ],
)
def test_what_has_no_structural_form_is_refused(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="structural form"):
        structural(schema, {})


def test_what_has_one() -> None:
    schema = {
        "anyOf": [{"$ref": "#/$defs/N"}, {"type": "null"}],
        "default": None,
        "description": "d",
    }
    definitions = {"N": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "title": "N"}}
    assert structural(schema, definitions) == {
        "type": "number",
        "minimum": 0,
        "exclusiveMinimum": True,
        "maximum": 1,
        "description": "d",
    }
