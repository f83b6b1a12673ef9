"""`ascendllm render`: what a resource becomes, without a cluster."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import click
import yaml

from ascendllm.api.crd import KIND
from ascendllm.api.limits import MAX_LEVELS
from ascendllm.api.parse import parse_spec, require_name
from ascendllm.api.sources import DataSource
from ascendllm.api.spec import Spec
from ascendllm.decide.decision import Decision, decide
from ascendllm.decide.job_images import IMAGE_NOT_CONFIGURED
from ascendllm.decide.needs import CachesNeeded, FillingNeeded
from ascendllm.desired import names
from ascendllm.desired.owner import Owner
from ascendllm.engine.ascend import remarks
from ascendllm.engine.chips import Generation
from ascendllm.engine.worlds import told_generation
from ascendllm.exceptions import AscendError, SpecError
from ascendllm.report.yaml import to_yaml
from ascendllm.settings import Settings
from ascendllm.state.observed import Observed

__all__ = ["command"]


class _UnknownSettings(Settings):
    """Settings that refuse nothing but unconfigured images, for when `--settings` is not given."""

    mmlu_data: DataSource | None = DataSource(image="not-known")
    prometheus_address: str | None = "http://not-known"

    def allows_host_path(self, path: str) -> bool:
        """Whether some prefix could allow the path."""
        return ".." not in path.split("/")


_UNKNOWN_REPOSITORY = "registry.invalid/ascendllm"
"""Stands for the operator's images while its settings are unknown; nobody can pull from it."""

_TOO_DEEP = (
    f"is nested hundreds of levels deep, and a field may have {MAX_LEVELS}: flatten it, or remove "
    "what was pasted into it by mistake"
)

_NOBODY = "00000000-0000-0000-0000-000000000000"


@click.command("render")
@click.option(
    "-f",
    "--file",
    "source",
    required=True,
    type=click.File(encoding="utf-8"),
    help="YAML with one or more AscendLLMs; - for standard input.",
)
@click.option(
    "--generation",
    type=click.Choice(get_args(Generation)),
    help="The chips' generation, where the file leaves it to the nodes.",
)
@click.option(
    "--settings",
    "settings_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The operator's settings: its ConfigMap, or the mapping in it. Without it, host paths and "
    "the images of jobs are not judged.",
)
def command(source: Any, generation: str | None, settings_file: Path | None) -> None:
    """Print the objects that the operator would apply first, as YAML; warnings go to stderr.

    Owner references are left out: they need a resource that exists. Validation jobs follow once
    pods are ready, since their names are made from what runs.
    """
    try:
        settings = _settings(settings_file)
        for resource in _resources(source):
            for item in _render(resource, generation, settings):
                click.echo("---\n" + to_yaml(item), nl=False)
    except AscendError as error:
        raise click.ClickException(str(error)) from error


def _render(
    resource: Mapping[str, Any], generation: str | None, settings: Settings
) -> Iterator[dict[str, Any]]:
    metadata = resource.get("metadata") or {}
    name = require_name(metadata.get("name"))
    owner = Owner(str(metadata.get("namespace") or "default"), name, _NOBODY)
    spec = parse_spec(resource)
    if generation is not None and told_generation(spec) is None:
        spec = _with_generation(spec, generation)
    if told_generation(spec) is None and spec.runtime.image is None:
        raise SpecError(
            "AmbiguousGeneration",
            f"{name}: spec.npu.generation is auto, and there are no nodes to read it from: give "
            "--generation, or set the field",
        )
    items, decision = _applied_or_warned(owner, spec, settings)
    generation = decision.revision.resolved.get("generation") if decision.revision else None
    for warning in remarks(spec, generation):
        click.echo(f"{name}: warning: {warning}", err=True)
    for item in items:
        shown = {**item["metadata"]}
        shown.pop("ownerReferences", None)
        yield {**item, "metadata": shown}


def _applied_or_warned(
    owner: Owner, spec: Spec, settings: Settings
) -> tuple[list[Mapping[str, Any]], Decision]:
    """As `_applied`, but an image that unknown settings may name is only a warning."""
    try:
        return _applied(owner, spec, settings)
    except SpecError as problem:
        if problem.reason != IMAGE_NOT_CONFIGURED or not isinstance(settings, _UnknownSettings):
            raise
        click.echo(
            f"{owner.name}: warning: without --settings FILE the operator's images are unknown, "
            f"and jobs are printed with images of {_UNKNOWN_REPOSITORY}; an operator whose "
            f"settings name none says: {problem.message.removeprefix(f'{owner.name}: ')}",
            err=True,
        )
    placeholder = settings.model_copy(update={"image_repository": _UNKNOWN_REPOSITORY})
    return _applied(owner, spec, placeholder)


def _applied(
    owner: Owner, spec: Spec, settings: Settings
) -> tuple[list[Mapping[str, Any]], Decision]:
    """What is applied until pods run, each object once; a model that is downloaded is there then.

    Returns:
        The objects in order, and the last decision.

    Raises:
        SpecError: The spec is refused.
    """
    found: dict[tuple[str, str], Mapping[str, Any]] = {}
    observed = Observed({"metadata": {"name": owner.name}}, datetime.now(UTC), nodes=())
    while True:
        try:
            decision = decide(owner, spec, observed, settings)
        except CachesNeeded as needed:
            claims = {name: _there({"metadata": {"name": name}}) for name in needed.claims}
            shared = {"ConfigMap": (), "PersistentVolumeClaim": (), **observed.shared}
            observed = replace(observed, shared=shared, claims=claims)
            continue
        except FillingNeeded:
            observed = replace(observed, shared={"Job": (), **observed.shared})
            continue
        if decision.problem is not None:
            raise _refusal(owner, decision.problem.reason, decision.problem.message)
        stalled = next((item.stage for item in decision.downloads if item.stalled), None)
        if stalled is not None:
            raise _refusal(owner, stalled.reason, stalled.message)
        new = [item for item in decision.plan.apply if _key(item) not in found]
        found |= {_key(item): item for item in new}
        shared = {
            kind: tuple(_there(item) for item in found.values() if _is_of_cache(item, kind))
            for kind in ("ConfigMap", "PersistentVolumeClaim")
        }
        if not new or not any(item.stage for item in decision.downloads):
            return list(found.values()), decision
        filled = {_cache(item) for item in found.values() if item["kind"] == "Job"}
        done = {"result.json": json.dumps({"result": "Complete"})}
        shared["ConfigMap"] = tuple(
            {**item, "data": {**item["data"], **done}} if _cache(item) in filled else item
            for item in shared["ConfigMap"]
        )
        observed = replace(observed, shared=shared)


def _refusal(owner: Owner, reason: str, message: str) -> SpecError:
    return SpecError(reason, f"{owner.name}: {reason}: {message}")


def _key(item: Mapping[str, Any]) -> tuple[str, str]:
    return item["kind"], item["metadata"]["name"]


def _is_of_cache(item: Mapping[str, Any], kind: str) -> bool:
    return item["kind"] == kind and _cache(item) is not None


def _cache(item: Mapping[str, Any]) -> str | None:
    cache: str | None = item["metadata"]["labels"].get(names.CACHE)
    return cache


def _there(item: Mapping[str, Any]) -> dict[str, Any]:
    """An object as if an API server had it."""
    return {**item, "metadata": {**item["metadata"], "uid": _NOBODY}}


def _with_generation(spec: Spec, generation: str) -> Spec:
    return spec.model_copy(update={"npu": spec.npu.model_copy(update={"generation": generation})})


def _resources(source: Any) -> Iterator[Mapping[str, Any]]:
    try:
        documents = [document for document in yaml.safe_load_all(source) if document is not None]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SpecError("Unreadable", f"{source.name} is not YAML: {error}") from error
    except RecursionError:
        raise SpecError("Unreadable", f"{source.name} {_TOO_DEEP}") from None
    found = [item for item in documents if isinstance(item, Mapping) and item.get("kind") == KIND]
    if not found:
        raise SpecError("Unreadable", f"{source.name} holds no object of kind {KIND}")
    yield from found


def _settings(file: Path | None) -> Settings:
    if file is None:
        return _UnknownSettings()
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError, OSError) as error:
        raise SpecError("Unreadable", f"--settings {file} cannot be read: {error}") from error
    except RecursionError:
        raise SpecError("Unreadable", f"--settings {file} {_TOO_DEEP}") from None
    if not isinstance(value, Mapping):
        raise SpecError("Unreadable", f"--settings {file} holds no mapping of settings")
    return Settings.from_mapping(value.get("data") or {} if "kind" in value else value)
