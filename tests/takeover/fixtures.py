"""The format of the fixtures; README.md describes it."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

__all__ = ["FOLDER", "UUID", "Fixture", "managers", "prune", "share_templates", "substitute"]

FOLDER = Path(__file__).resolve().parent

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

TEXTS = "texts.yaml"
"""The file of a folder that has the long texts of all its fixtures, such as programs of probes."""

_LONG_CHARACTERS = 500
_TEXT = re.compile(r'"\{text ([0-9a-f]{10})\}"')
"""What stands for a long text, in JSON."""

_SHARED_CHARACTERS = 60
"""A value whose JSON is longer is written once in a file, as a YAML anchor."""


@dataclass(frozen=True)
class Fixture:
    """The objects of one namespace.

    Attributes:
        namespace: Its name.
        recorded_at: When the objects were read: RFC 3339, UTC.
        settings: The settings of the operator that made them.
        nodes: The cluster's nodes.
        objects: The objects, owners before what they own.
    """

    namespace: str
    recorded_at: str
    settings: Mapping[str, str]
    nodes: list[dict[str, Any]]
    objects: list[dict[str, Any]]

    @classmethod
    def load(cls, file: Path) -> Fixture:
        """Read a file."""
        data = _read(file)
        texts = _read(file.with_name(TEXTS))
        objects = json.loads(
            _TEXT.sub(lambda match: json.dumps(texts[match[1]]), json.dumps(data["objects"]))
        )
        return cls(
            data["namespace"],
            data["recordedAt"],
            data["settings"],
            data["nodes"],
            objects,
        )

    def save(self, file: Path) -> None:
        """Write a file, and its long texts into the folder's file of texts."""
        store = file.with_name(TEXTS)
        texts = _read(store) if store.exists() else {}
        data = {
            "namespace": self.namespace,
            "recordedAt": self.recorded_at,
            "settings": dict(self.settings),
            "nodes": self.nodes,
            "objects": _without_texts(self.objects, texts),
        }
        _write(file, _Sharing().share(data))
        _write(store, dict(sorted(texts.items())))


def _read(file: Path) -> Any:
    return yaml.load(file.read_text(encoding="utf-8"), Loader=_LOADER)


def _write(file: Path, value: Any) -> None:
    text = yaml.dump(
        value,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=None,
        width=100,
        allow_unicode=True,
    )
    file.write_text(text, encoding="utf-8")


def _without_texts(value: Any, texts: dict[str, str]) -> Any:
    """A copy whose long texts are in `texts`, each under its digest."""
    if isinstance(value, str) and len(value) > _LONG_CHARACTERS:
        key = hashlib.sha256(value.encode()).hexdigest()[:10]
        texts[key] = value
        return f"{{text {key}}}"
    if isinstance(value, Mapping):
        return {key: _without_texts(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_texts(item, texts) for item in value]
    return value


# The class of libyaml, where PyYAML was built with it, is ten times as fast.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Dumper(yaml.SafeDumper):
    """Writes a value that occurs twice as an anchor and an alias, long texts included."""

    def ignore_aliases(self, data: Any) -> bool:
        if isinstance(data, str):
            return len(data) <= _SHARED_CHARACTERS
        return not isinstance(data, dict | list) or not data


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


class _Sharing:
    """Replaces equal values by one Python object, which PyYAML writes once."""

    def __init__(self) -> None:
        self._known: dict[str, Any] = {}

    def share(self, value: Any) -> Any:
        text = json.dumps(value)
        large = len(text) > _SHARED_CHARACTERS
        if large and text in self._known:
            return self._known[text]
        made = value
        if isinstance(value, Mapping):
            made = {key: self.share(item) for key, item in value.items()}
        elif isinstance(value, list):
            made = [self.share(item) for item in value]
        if large:
            self._known[text] = made
        return made


def substitute(item: Any, uids: Mapping[str, str]) -> Any:
    """A copy with uids replaced in all keys and texts, JSON in texts included."""
    text = json.dumps(item)
    return json.loads(UUID.sub(lambda match: uids.get(match[0], match[0]), text))


def prune(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object without the fields that no field manager owns, which are defaults."""
    owned: dict[str, Any] = {}
    for entry in item["metadata"].get("managedFields") or []:
        _merge(owned, entry["fieldsV1"])
    kept = _owned_part(item, owned)
    kept["apiVersion"], kept["kind"] = item["apiVersion"], item["kind"]
    order = ["apiVersion", "kind", "metadata", *(key for key in item if key != "metadata")]
    return {key: kept[key] for key in dict.fromkeys(order) if key in kept}


def managers(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The managedFields of an object as they are recorded.

    Where one manager applied the whole object, and at most one wrote its status, the fields need
    not be listed: they are those of the object.
    """
    main = [entry for entry in entries if not entry.get("subresource")]
    is_plain = len(main) == 1 and main[0]["operation"] == "Apply" and len(entries) <= 2
    kept = []
    for entry in entries:
        item = {key: entry[key] for key in _OF_A_MANAGER if key in entry}
        if not is_plain:
            item["fieldsV1"] = json.dumps(entry["fieldsV1"], separators=(",", ":"))
        kept.append(item)
    return kept


_OF_A_MANAGER = ("manager", "operation", "subresource", "apiVersion")


def share_templates(objects: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The objects, with the specs of pods reduced to the fields of their templates."""
    templates = [template for item in objects for template in _templates(item)]
    return [_like_its_template(item, templates) for item in objects]


def _templates(item: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = item.get("spec") or {}
    if item["kind"] in ("Deployment", "Job"):
        yield spec["template"]
    elif item["kind"] == "LeaderWorkerSet":
        group = spec["leaderWorkerTemplate"]
        yield from (group["leaderTemplate"], group["workerTemplate"])


def _like_its_template(item: dict[str, Any], templates: list[Mapping[str, Any]]) -> dict[str, Any]:
    labels = item["metadata"].get("labels", {}).items()
    fitting = [part for part in templates if part["metadata"]["labels"].items() <= labels]
    if item["kind"] != "Pod" or not fitting:
        return item
    template = max(fitting, key=lambda part: len(part["metadata"]["labels"]))
    spec = _common(item["spec"], {**template["spec"], "nodeName": ""})
    return {**item, "spec": spec}


def _common(value: Any, like: Any) -> Any:
    if isinstance(value, Mapping) and isinstance(like, Mapping) and like:
        return {key: _common(item, like[key]) for key, item in value.items() if key in like}
    if isinstance(value, list) and isinstance(like, list) and len(value) == len(like):
        return [_common(item, other) for item, other in zip(value, like, strict=True)]
    return value


def _merge(into: dict[str, Any], fields: Mapping[str, Any]) -> None:
    for key, below in fields.items():
        _merge(into.setdefault(key, {}), below)


def _owned_part(value: Any, fields: Mapping[str, Any]) -> Any:
    below = {key: item for key, item in fields.items() if key != "."}
    if not below:
        return value
    if isinstance(value, Mapping):
        return {
            key: _owned_part(item, below[f"f:{key}"])
            for key, item in value.items()
            if f"f:{key}" in below
        }
    return list(_owned_items(value, below))


def _owned_items(items: list[Any], fields: Mapping[str, Any]) -> Iterator[Any]:
    keyed = [(json.loads(key[2:]), below) for key, below in fields.items() if key[:2] == "k:"]
    values = [json.loads(key[2:]) for key in fields if key[:2] == "v:"]
    for item in items:
        if item in values:
            yield item
        for keys, below in keyed:
            if isinstance(item, Mapping) and all(item.get(k) == v for k, v in keys.items()):
                yield _owned_part(item, below)
