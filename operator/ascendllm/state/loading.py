"""How far a server is with loading, by what it wrote last.

The lines are those of vLLM 0.18 and vLLM-Ascend 0.18: `default_loader.py` (weights, by tqdm),
`worker.py` and `model_runner_v1.py` (memory, compiling, graphs), `launcher.py` (the server).
Patterns and sizes are bounded as in `diagnosis`.
"""

from __future__ import annotations

import re

from ascendllm.state.stage import Stage

__all__ = ["loading_stage"]

_LOG_CHARACTERS = 64 * 1024
_LINE_CHARACTERS = 2000
_LINES = 1000
"""Lines that are read, the last first; the operator asks for 50, of which progress bars, which
overwrite theirs, make more."""

_STEPS: tuple[tuple[str, str, str], ...] = (
    (
        "Loading",
        r"Loading (?:\S{1,40}+ ){0,3}checkpoint shards:\s{1,8}+(?P<percent>\d{1,3}+)% Completed "
        r"\| (?P<done>\d{1,6}+)/(?P<all>\d{1,6}+)",
        "loading weights, {done} of {all} files ({percent} %)",
    ),
    ("Loading", r"Starting to load model|Loading drafter model", "loading weights"),
    (
        "GraphCapture",
        r"Capturing (?:ACL|CUDA) graphs[^:]{0,80}+:\s{1,8}+\d{1,3}+%\|[^|]{0,40}+\|\s{0,8}+"
        r"(?P<done>\d{1,6}+)/(?P<all>\d{1,6}+)",
        "capturing graphs, {done} of {all}",
    ),
    ("GraphCapture", r"Starting to capture (?:ACL|CUDA) graphs", "capturing graphs"),
    (
        "WarmingUp",
        r"Compile and warming up model for size (?P<size>\d{1,12}+)",
        "compiling for {size}",
    ),
    ("WarmingUp", r"Graph capturing finished in", "graphs are captured: starting the server"),
    (
        "WarmingUp",
        r"(?:Loading (?:model )?weights|Model loading) took|Available KV cache memory|"
        r"GPU KV cache size|Dynamo bytecode transform|Compiling a graph|torch\.compile takes",
        "weights are loaded: measuring memory and compiling",
    ),
    (
        "WarmingUp",
        r"Application startup complete|Starting vLLM API server",
        "the server listens: waiting for its first completion",
    ),
)
"""Reason, pattern, and what to say of it."""

_COMPILED = [(reason, re.compile(pattern), text) for reason, pattern, text in _STEPS]


def loading_stage(text: str) -> Stage | None:
    """The stage that the last telling line is of; None where no line tells one.

    Args:
        text: The end of a running server's log; progress bars overwrite their line.

    Returns:
        `Loading`, `GraphCapture` or `WarmingUp`, and how far it is, without the pod.
    """
    lines = re.split(r"[\r\n]+", text[-_LOG_CHARACTERS:])
    for line in reversed(lines[-_LINES:]):
        for reason, pattern, said in _COMPILED:
            if (found := pattern.search(line[:_LINE_CHARACTERS])) is not None:
                return Stage(reason, said.format(**found.groupdict()))
    return None
