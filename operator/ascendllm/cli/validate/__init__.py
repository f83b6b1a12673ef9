"""`ascendllm validate CHECK`: one check against any OpenAI-compatible server.

The result goes to stdout (JSON, or a table for people), progress to stderr. Exit codes: 0 passed,
1 failed, 2 no verdict (or a wrong command line), 143 after SIGTERM with the checkpoint written.
"""

from __future__ import annotations

import click

from ascendllm.cli.lazy import LazyGroup

__all__ = ["command"]

CHECKS = {
    "bench": "Throughput and latency, as `vllm bench serve` defines them.",
    "dummy": "A server with random weights comes up and answers.",
    "eval": "Tasks of lm-eval against baselines.",
    "mmlu": "MMLU accuracy against a baseline.",
    "parity": "Log-probabilities against a reference, token by token.",
    "smoke": "Health, version, served name, answers, streaming, usage.",
}
"""Every check with its help line; check `x` is `command` in `ascendllm.cli.validate.x`."""


@click.group(cls=LazyGroup, package=__name__, commands_help=CHECKS)
def command() -> None:
    """Run one check against an OpenAI-compatible server."""
