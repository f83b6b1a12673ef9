"""Where in a sequence the simulator's own greedy answer begins, if it ends in one.

A sequence that is scored (`prompt_logprobs`) may be a prompt and what this simulator wrote behind
it; a real model then gives the same probabilities as while it wrote, so the simulator has to.
"""

from __future__ import annotations

from ascendllm_simulator import tokenizer
from ascendllm_simulator.generation import WORDS, Plan, Prompt, write
from ascendllm_simulator.mmlu import MmluAnswerer
from ascendllm_simulator.protocol import SamplingRequest

__all__ = ["own_answer"]

_GREEDY = SamplingRequest(temperature=0)
_WRITTEN = frozenset([*WORDS, tokenizer.encode(".")[0], tokenizer.EOS])
_LONGEST = 1024
_OPENING = 8
"""An answer may open with so many tokens that are not of the free text, such as a letter."""


def own_answer(prompt: Prompt, answerer: MmluAnswerer) -> tuple[int, Plan] | None:
    """The first place from which on the sequence is this simulator's own free text.

    Args:
        prompt: The whole sequence.
        answerer: Who answers MMLU questions.
    """
    ids = prompt.ids
    start = len(ids)
    while start > max(1, len(ids) - _LONGEST) and ids[start - 1] in _WRITTEN:
        start -= 1
    for place in range(max(1, start - _OPENING), len(ids)):
        before = Prompt(ids[:place], tokenizer.decode(ids[:place], skip_special=True))
        if write(before, _GREEDY, answerer, 1, 0).ids != ids[place : place + 1]:
            continue
        plan = write(before, _GREEDY, answerer, len(ids) - place, 0)
        if plan.ids == ids[place:]:
            return place, plan
    return None
