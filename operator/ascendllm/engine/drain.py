"""How long vLLM may take to finish requests once it is told to end."""

from __future__ import annotations

import math

from ascendllm.api.engine import Engine
from ascendllm.engine.in_force import in_force

__all__ = ["LEAST_SECONDS", "shutdown_timeout"]

_SECONDS_PER_TOKEN = 0.025
"""Seed 000 measured 22.49 ms a token. A busy engine is slower, but the longest context is hardly
ever filled by the answer alone."""

LEAST_SECONDS = 120
"""Also where the longest context is the model's own and not known here."""
_MOST_SECONDS = 3600


def shutdown_timeout(engine: Engine) -> int:
    """Seconds that the longest request takes: each token of a context as long as it may be.

    It is a limit and no pause: an idle server ends at once.
    """
    longest = math.ceil((in_force(engine).max_model_len or 0) * _SECONDS_PER_TOKEN)
    return min(max(LEAST_SECONDS, longest), _MOST_SECONDS)
