"""The CustomResourceDefinition, made from the pydantic models: `python -m ascendllm.api.crd`.

pydantic emits JSON Schema; the API server takes a structural schema, a small part of it. Each
keyword that pydantic may emit is either turned into its structural form here or refused with an
error, so that nothing that the API server would ignore can slip in unseen.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import yaml

from ascendllm.api.scalars import cel
from ascendllm.api.spec import Spec
from ascendllm.api.status import Status

__all__ = ["GROUP", "KIND", "PLURAL", "VERSION", "crd", "structural"]

GROUP = "ascendllm.io"
VERSION = "v1alpha1"
KIND = "AscendLLM"
PLURAL = "ascendllms"

_KEPT = {
    "default",
    "description",
    "enum",
    "format",
    "items",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "pattern",
    "type",
}
_DROPPED = {"title", "$defs"}
"""Titles repeat the names. References are put in place where they are used."""

COLUMNS = [
    ("Model", "string", ".status.model", 0),
    ("Ready", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
    ("Replicas", "integer", ".status.readyReplicas", 0),
    ("NPUs", "integer", ".status.npus", 0),
    ("Verdict", "string", ".status.verdict", 0),
    ("MMLU", "number", ".status.validation.mmlu.macroAverage", 0),
    ("Delta", "number", ".status.validation.mmlu.delta", 0),
    ("Tok/s", "number", ".status.validation.bench.outputThroughput", 0),
    ("TPOT", "number", ".status.validation.bench.meanTpotMs", 0),
    ("Revision", "string", ".status.servedRevision", 1),
    ("TTFT", "number", ".status.validation.bench.meanTtftMs", 1),
    ("vLLM", "string", ".status.runtime.vllm", 1),
    ("SOC", "string", ".status.runtime.soc", 1),
    ("Reason", "string", ".status.conditions[?(@.type=='Ready')].reason", 1),
    ("Age", "date", ".metadata.creationTimestamp", 0),
]
"""Name, type, path and priority of the printer columns; priority 1 shows with `-o wide`."""


def structural(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The structural form of one node of pydantic's JSON Schema.

    Args:
        schema: The node.
        definitions: What `$ref` may name; a definition must not refer to itself.

    Raises:
        ValueError: A keyword has no structural form here.
    """
    node = dict(schema)
    if "$ref" in node:
        target = definitions[node.pop("$ref").removeprefix("#/$defs/")]
        node = {**target, **node}
    if "anyOf" in node:
        node = _without_null(node)
        return structural(node, definitions)
    result: dict[str, Any] = {}
    for keyword, value in node.items():
        if keyword in _DROPPED:
            continue
        if keyword == "default":
            if value is not None:
                result["default"] = value
        elif keyword == "const":
            result["enum"] = [value]
        elif keyword in ("exclusiveMinimum", "exclusiveMaximum"):
            result[keyword.replace("exclusiveM", "m")] = value
            result[keyword] = True
        elif keyword == "properties":
            result["properties"] = {
                name: structural(child, definitions) for name, child in value.items()
            }
        elif keyword == "required":
            result["required"] = sorted(value)
        elif keyword == "items":
            result["items"] = structural(value, definitions)
        elif keyword == "additionalProperties":
            result.update(_additional_properties(value, definitions))
        elif keyword in _KEPT or keyword.startswith("x-kubernetes-"):
            result[keyword] = value
        else:
            raise ValueError(f"{keyword!r} of {dict(schema)!r} has no structural form")
    if result.get("type") == "integer" and "format" not in result:
        result["format"] = "int64"
    if isinstance(result.get("default"), dict):
        # The leaves carry their own defaults: the parent only has to come into being.
        result["default"] = {}
    return result


def _without_null(node: dict[str, Any]) -> dict[str, Any]:
    others = [option for option in node["anyOf"] if option != {"type": "null"}]
    if len(others) != 1:
        raise ValueError(f"a union has no structural form: {node!r}")
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    return {**others[0], **rest}


def _additional_properties(value: Any, definitions: Mapping[str, Any]) -> dict[str, Any]:
    if value is False:
        # Pruning and strict field validation do what `extra="forbid"` asks for.
        return {}
    if value is True:
        return {"x-kubernetes-preserve-unknown-fields": True}
    return {"additionalProperties": structural(value, definitions)}


def _node(model: type[Spec] | type[Status]) -> dict[str, Any]:
    schema = model.model_json_schema(by_alias=True, mode="validation")
    return structural(schema, schema.get("$defs", {}))


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as a dict, ready for YAML."""
    spec, status = _node(Spec), _node(Status)
    # An object that the operator has not seen yet must not look healthy to kstatus (Flux, Helm).
    status["default"] = {"observedGeneration": -1}
    status["properties"]["observedGeneration"].pop("minimum", None)
    columns = [
        {"name": name, "type": kind, "jsonPath": path, **({"priority": p} if p else {})}
        for name, kind, path, p in COLUMNS
    ]
    root = {
        "type": "object",
        "description": "A model served on Ascend NPUs by vLLM-Ascend, and the proof that it works.",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            "status": status,
        },
        "x-kubernetes-validations": [
            cel(
                "size(self.metadata.name) <= 36 && "
                "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name must start with a letter, hold only lower-case letters, digits and "
                "'-', end with a letter or digit, and have at most 36 characters: the names of its "
                "objects are made from it",
            )
        ],
    }
    version = {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {
            "status": {},
            "scale": {
                "specReplicasPath": ".spec.replicas",
                "statusReplicasPath": ".status.replicas",
                "labelSelectorPath": ".status.selector",
            },
        },
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": root},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{PLURAL}.{GROUP}",
            "labels": {
                "app.kubernetes.io/name": "ascendllm",
                "app.kubernetes.io/part-of": "ascendllm",
            },
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": "ascendllm",
                "shortNames": ["allm"],
                "categories": ["all"],
            },
            "versions": [version],
        },
    }


def main() -> None:
    """Print the CRD as YAML."""
    sys.stdout.write("# Made from the pydantic models by `make crds`; edit those.\n")
    yaml.safe_dump(crd(), sys.stdout, sort_keys=False, allow_unicode=True, width=100)


if __name__ == "__main__":
    main()
