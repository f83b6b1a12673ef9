"""What is worth knowing and stops nothing: `status.warnings`.

Each source is a small pure function of the scene; their texts stand in the order of the sources, so
that one pass says what the next one says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from ascendllm.api.spec import Spec
from ascendllm.engine.ascend import remarks
from ascendllm.engine.ascend.ceilings import ceiling_remark
from ascendllm.engine.ascend.graphs import remarks_of_model
from ascendllm.engine.ascend.setup import Setup
from ascendllm.state.revisions import Revision
from ascendllm.status.care import care_warnings
from ascendllm.status.room import Room
from ascendllm.status.routing import route_warnings
from ascendllm.status.scaling import autoscaler_warnings
from ascendllm.status.scene import Scene
from ascendllm.status.text import shortened

__all__ = ["SOURCES", "warnings_of"]

_MOST = 16
"""As the schema has it."""

Source = Callable[[Scene], Iterable[str]]


def engine_settings(scene: Scene) -> Iterable[str]:
    """Settings that do nothing on Ascend, and those that cost something unsaid."""
    revision = scene.decision.revision
    generation = revision.resolved.get("generation") if revision is not None else None
    return remarks(scene.spec, generation)


def model_figures(scene: Scene) -> Iterable[str]:
    """What follows from the model's numbers, once a pod has read them, and from its name."""
    revision = scene.decision.revision
    if revision is None:
        return
    setup = Setup.of(scene.spec, revision.resolved.get("generation"))
    pods = scene.observed.pods_of(revision.hash)
    model = next((pod.model for pod in pods if pod.model is not None), None)
    if model is not None:
        yield from remarks_of_model(setup, model)
    memory = _gigabytes(revision)
    if memory is not None:
        name, length = _name(scene.spec), setup.engine.max_model_len
        remark = ceiling_remark(name, scene.spec.npus, memory, length)
        yield from [remark] if remark is not None else []


def _gigabytes(revision: Revision) -> int | None:
    """The memory of one NPU as cards are named by it."""
    found = re.fullmatch(r"(\d{1,4})Gi", str(revision.resolved.get("memory", "")))
    return int(found.group(1)) if found else None


def _name(spec: Spec) -> str:
    """The last part of where the model is."""
    source = spec.model.source.model_dump(exclude_none=True)
    place = next(iter(source.values()))
    if isinstance(place, dict):
        place = place.get("path") or place.get("repo") or place.get("uri") or ""
    return str(place).rstrip("/").rpartition("/")[2]


SOURCES: tuple[Source, ...] = (
    care_warnings,
    autoscaler_warnings,
    route_warnings,
    engine_settings,
    model_figures,
)


def warnings_of(scene: Scene, room: Room) -> list[str]:
    """The warnings, each once; where there are too many, the last line says how many more."""
    found = dict.fromkeys(text for source in SOURCES for text in source(scene))
    texts = [shortened(text, room.warning) for text in found]
    if len(texts) <= _MOST:
        return texts
    return [*texts[: _MOST - 1], f"and {len(texts) - _MOST + 1} more"]
