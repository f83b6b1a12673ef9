"""Finds the simulator's own greedy answer at the end of a sequence.

A client may score (`prompt_logprobs`) a prompt followed by the answer that it got. A real model
assigns the answer the same probabilities as during generation, so the simulator must do so too.
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
"""How many tokens, such as an MMLU letter, may precede the free text of an answer."""


def own_answer(prompt: Prompt, answerer: MmluAnswerer) -> tuple[int, Plan] | None:
    """Find the first position from which the rest of the sequence is this simulator's own answer.

    Args:
        prompt: The whole sequence.
        answerer: Answers MMLU questions.
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
