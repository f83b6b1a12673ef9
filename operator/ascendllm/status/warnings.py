"""What is worth knowing and stops nothing: `status.warnings`.

Each source is a small pure function of the scene; their texts stand in the order of the sources, so
that one pass says what the next one says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ascendllm.engine.ascend import remarks
from ascendllm.status.care import care_warnings
from ascendllm.status.room import Room
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


SOURCES: tuple[Source, ...] = (care_warnings, engine_settings)


def warnings_of(scene: Scene, room: Room) -> list[str]:
    """The warnings, each once; where there are too many, the last line says how many more."""
    found = dict.fromkeys(text for source in SOURCES for text in source(scene))
    texts = [shortened(text, room.warning) for text in found]
    if len(texts) <= _MOST:
        return texts
    return [*texts[: _MOST - 1], f"and {len(texts) - _MOST + 1} more"]
