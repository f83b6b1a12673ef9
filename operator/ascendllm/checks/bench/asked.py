"""What was asked for, as the result says it."""

from __future__ import annotations

from ascendllm.checks.bench.options import BenchOptions

__all__ = ["asked", "described"]


def asked(options: BenchOptions) -> dict[str, object]:
    """The figures that are known before anything is measured; those that don't apply are left out.

    An open loop has no `concurrency`; a sweep's is that of the point which the run is headed by.
    """
    said: dict[str, object] = {
        "concurrency": None if options.open_loop or options.sweep else options.concurrency,
        "requestRate": options.request_rate,
        "burstiness": _number(options.burstiness) if options.open_loop else None,
        "dataset": options.dataset,
        "inputTokens": options.input_tokens if options.dataset == "random" else None,
        "outputTokens": options.output_tokens,
        "prefixTokens": options.prefix_tokens or None,
        "seed": options.seed,
        "shards": options.shards,
    }
    if (ramp := options.ramp_up) is not None:
        said["rampUp"] = {
            "strategy": ramp.strategy,
            "startRps": ramp.start_rps,
            "endRps": ramp.end_rps,
        }
    return {key: value for key, value in said.items() if value is not None}


def described(options: BenchOptions) -> str:
    """The load in a few words."""
    prefix = f"{options.prefix_tokens} shared + " if options.prefix_tokens else ""
    tokens = (
        f"{prefix}{options.input_tokens} + {options.output_tokens} tokens"
        if options.dataset == "random"
        else options.dataset
    )
    load = f"{options.requests} requests of {tokens}"
    return f"{load} at each concurrency" if options.sweep else f"{load}, all answered in full"


def _number(value: float) -> float | str:
    """JSON has no infinity; vLLM writes it as this word."""
    return "inf" if value == float("inf") else value
