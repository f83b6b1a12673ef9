"""Whether a server takes a LoRA adapter of some rank."""

from __future__ import annotations

from ascendllm.api.engine import Engine
from ascendllm.engine import options

__all__ = ["rank_problem"]


def rank_problem(rank: int, engine: Engine) -> str | None:
    """Why vLLM would refuse the adapter, with the remedy; None where it takes it.

    vLLM 0.18, `vllm/lora/peft_helper.py`: `r` is at most --max-lora-rank.

    Args:
        rank: `r` of its adapter_config.json.
        engine: The settings in force.
    """
    table = options.load()
    option = table.named("--max-lora-rank")
    assert option is not None, "the table has it"  # noqa: S101
    most = table.values(engine.args or []).get(option.dest, option.default)
    if rank <= most:
        return None
    enough = [choice for choice in option.choices if isinstance(choice, int) and choice >= rank]
    remedy = (
        f"set {option.canonical}={min(enough)} in spec.engine.args"
        if enough
        else f"use one of at most rank {option.choices[-1]}, the largest that vLLM takes"
    )
    return f"its rank is {rank} (r of adapter_config.json), {option.canonical} {most}: {remedy}"
