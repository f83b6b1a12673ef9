"""How far a server is with loading, by what it wrote last.

The lines are those of vLLM 0.18 and vLLM-Ascend 0.18: `default_loader.py` (weights, by tqdm),
`worker.py` and `model_runner_v1.py` (memory, compiling, graphs), `launcher.py` (the server).
"""

from __future__ import annotations

import re

from ascendllm.state.stage import Stage

__all__ = ["loading_stage"]

_LONGEST = 64 * 1024
_READ = 2000

_STEPS: tuple[tuple[str, str, str], ...] = (
    (
        "Loading",
        r"Loading .{0,40}checkpoint shards:\s+(?P<percent>\d+)% Completed "
        r"\| (?P<done>\d+)/(?P<all>\d+)",
        "loading weights, {done} of {all} files ({percent} %)",
    ),
    ("Loading", r"Starting to load model|Loading drafter model", "loading weights"),
    (
        "GraphCapture",
        r"Capturing (?:ACL|CUDA) graphs.{0,80}?:\s+\d+%\|.{0,40}?\|\s*(?P<done>\d+)/(?P<all>\d+)",
        "capturing graphs, {done} of {all}",
    ),
    ("GraphCapture", r"Starting to capture (?:ACL|CUDA) graphs", "capturing graphs"),
    ("WarmingUp", r"Compile and warming up model for size (?P<size>\d+)", "compiling for {size}"),
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
    for line in reversed(re.split(r"[\r\n]+", text[-_LONGEST:])):
        for reason, pattern, said in _COMPILED:
            if (found := pattern.search(line[:_READ])) is not None:
                return Stage(reason, said.format(**found.groupdict()))
    return None
