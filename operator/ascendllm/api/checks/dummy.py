"""What dummy is asked to do."""

from __future__ import annotations

from ascendllm.api.model import ResourceModel

__all__ = ["DummyCheck"]


class DummyCheck(ResourceModel):
    """The engine runs the model's architecture: with random weights it comes up and answers."""
