"""The table of smoke: every check by name, and what its finding means.

- GATE: a wrong answer is `Failed`, and so is smoke.
- SOFT: a wrong answer is noted as `Inconclusive` and fails nothing. Healthy servers can miss it:
  bf16 sums depend on the batch, and models differ in what they know.
- A check that finds nothing to look at (no API key, no /metrics, a context that is too short, other
  clients meanwhile) is `Skipped` with the reason, whatever it is here.
- A server that does not answer, answers 5xx, or answers for another model ends smoke in `Error`.

EVERY: done on each server behind the address; FIRST: on the first one, since it follows from the
version and the options that all of them share.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Literal

from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.groups import (
    api_key,
    burst,
    completion,
    counters,
    other_api,
    parameters,
    refusals,
    sampling,
    server,
    streaming,
    text,
)
from ascendllm.checks.smoke.shapes import Kind

__all__ = ["TABLE", "Check", "Group", "checks_for"]

Step = Callable[[Context], Awaitable[str | None]]

Group = Literal["language", "parameters"]
"""The groups that can be left out: `--no-language` for models of something else than English text
(or with random weights), `--no-parameters`."""

GATE, SOFT = True, False
EVERY, FIRST = True, False


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the table.

    Args:
        name: As it stands in the result.
        step: What is done.
        gates: Whether a wrong answer fails smoke.
        every: Whether each server is looked at.
        kind: The kind of model that it is for; None: both.
        group: The group that it is left out with; None: it is always done.
    """

    name: str
    step: Step
    gates: bool = GATE
    every: bool = FIRST
    kind: Kind | None = None
    group: Group | None = None


TABLE = (
    # 1. The server
    Check("health", server.health, GATE, EVERY),
    Check("version", server.version, GATE, EVERY),
    Check("models", server.models, GATE, EVERY),
    # 2. An answer (4. streamed) and its counts
    Check("completion", completion.answer, GATE, EVERY, "base"),
    Check("chat", completion.answer, GATE, EVERY, "instruct"),
    Check("streaming", streaming.streaming, GATE, EVERY),
    Check("usage", completion.usage, GATE, EVERY),
    # 3. Is it language?
    Check("logProbabilities", text.log_probabilities, GATE, EVERY),
    Check("language", text.language, GATE, EVERY, group="language"),
    Check("variety", text.variety, SOFT, EVERY, group="language"),
    Check("knowledge", text.knowledge, SOFT, EVERY, group="language"),
    # 5. Stop, n, logprobs
    Check("stop", sampling.stop),
    Check("n", sampling.several),
    Check("nGreedyRefused", sampling.greedy_choices),
    Check("logprobs", sampling.log_probabilities),
    Check("logprobsLimit", sampling.log_probability_limit),
    # 6. Refusals
    Check("tooLongRefused", refusals.too_long),
    Check("unknownModelRefused", refusals.unknown_model),
    Check("emptyPromptRefused", refusals.empty_prompt),
    Check("malformedRefused", refusals.malformed),
    # 7. The other kind's API
    Check("chatOfBaseModel", other_api.chat_of_a_base_model, kind="base"),
    Check("completion", other_api.completion_of_an_instruct_model, kind="instruct"),
    # 8. Counters
    Check("counters", counters.counters, GATE, EVERY),
    # 9. The key
    Check("apiKey", api_key.api_key),
    # 10. Burst
    Check("burst", burst.burst, GATE, EVERY),
    Check("idle", counters.idle, SOFT, EVERY),
    # The request parameters
    Check("temperature", parameters.temperature, group="parameters"),
    Check("topK", parameters.top_k, group="parameters"),
    Check("topKOfOne", parameters.top_k_of_one, SOFT, group="parameters"),
    Check("topP", parameters.top_p, group="parameters"),
    Check("presencePenalty", parameters.presence_penalty, group="parameters"),
    Check("frequencyPenalty", parameters.frequency_penalty, group="parameters"),
    Check("repetitionPenalty", parameters.repetition_penalty, group="parameters"),
    Check("choices", parameters.n, group="parameters"),
    Check("stopStrings", parameters.stop, group="parameters"),
    Check("ignoreEos", parameters.ignore_eos, group="parameters"),
    Check("minTokens", parameters.min_tokens, group="parameters"),
    Check("seed", parameters.seed, group="parameters"),
    Check("seedRepeats", parameters.seed_repeats, SOFT, group="parameters"),
    Check("beamSearch", parameters.beam_search, group="parameters"),
)


def checks_for(kind: Kind, *, without: Collection[Group] = (), first: bool) -> tuple[Check, ...]:
    """The checks of one server.

    Args:
        kind: The model's kind.
        without: The groups that are left out.
        first: Whether it is the first server behind the address.
    """
    return tuple(
        check
        for check in TABLE
        if check.kind in (None, kind) and (first or check.every) and check.group not in without
    )
