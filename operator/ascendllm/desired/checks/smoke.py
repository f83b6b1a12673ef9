"""The call of `ascendllm validate smoke`."""

from __future__ import annotations

import json

from ascendllm.api.checks.smoke import SmokeCheck
from ascendllm.desired.checks.call import MOST_IN_FLIGHT, Call, Given
from ascendllm.engine.in_force import in_force

__all__ = ["smoke_call"]


def smoke_call(given: Given) -> Call:
    """Prompts go as one JSON argument: they are no secret, and need no file."""
    smoke = given.validation.smoke or SmokeCheck()
    arguments = [f"--kind={given.spec.model.kind}"]
    sequences = in_force(given.spec.engine).max_num_seqs
    if sequences is not None and not given.has_traffic:
        # The burst fills the engine once, which clients should not have to wait behind.
        arguments.append(f"--max-num-seqs={min(sequences, MOST_IN_FLIGHT)}")
    arguments += [f"--adapter={lora.name}" for lora in given.spec.engine.loras or []]
    if smoke.prompts is not None:
        prompts = [
            prompt.model_dump(mode="json", by_alias=True, exclude_none=True)
            for prompt in smoke.prompts
        ]
        text = json.dumps(prompts, ensure_ascii=False, separators=(",", ":"))
        arguments.append(f"--prompts={text}")
    if not smoke.parameters:
        arguments.append("--no-parameters")
    if not smoke.language:
        arguments.append("--no-language")
    return Call(arguments)
