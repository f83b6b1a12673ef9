"""Which way a server's letters are read: tried on the first question, best way first.

A, `allowed_token_ids`, is exact and cheap; B, `structured_outputs`, is exact where all four letters
come back; C, the likeliest tokens alone, where they are certain. A way is left out only because the
server can't do it, which is said on stderr and in the result's `method`; a server that fails, or
that computes nonsense, is an Error at once.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from ascendllm.checks.mmlu.methods.allowed_tokens import AllowedTokens
from ascendllm.checks.mmlu.methods.generated import Generated
from ascendllm.checks.mmlu.methods.method import Keys, Method, Reading, keys_of_ids, keys_of_texts
from ascendllm.checks.mmlu.methods.structured_outputs import StructuredOutputs
from ascendllm.checks.mmlu.methods.top_logprobs import TopLogprobs
from ascendllm.checks.mmlu.protocols.protocol import Protocol
from ascendllm.checks.sinks import warn
from ascendllm.exceptions import CheckError

__all__ = ["CANNOT", "NOT_OBEYED", "ORDER", "candidates", "choose_method"]

ORDER = ("allowedTokens", "structuredOutputs", "topLogprobs", "generated")
"""Every method by its name, best first."""

NOT_OBEYED = frozenset({"LetterNotObeyed", "GrammarNotObeyed"})
"""Reasons that say that a field was ignored. A server may do that and no answer show it before one
whose likeliest token is no letter; the answers before are right all the same."""

CANNOT = NOT_OBEYED | {"LetterUncertain", "MissingLetters", "MissingLogprobs", "RequestRefused"}
"""Reasons that say what a server can't do; others say that something is wrong with it."""


def candidates(protocol: Protocol, ids: tuple[int, ...] | None) -> list[Method]:
    """The ways that can be tried, best first.

    Args:
        protocol: Says what an answer is.
        ids: The letters' token ids, None where the server doesn't tell them.
    """
    if protocol.measures == "generatedLetter":
        return [Generated()]
    keys: Keys = keys_of_texts() if ids is None else keys_of_ids(ids)
    exact: list[Method] = [AllowedTokens(keys, protocol.listed)] if keys.by_id else []
    if protocol.listed is not None:
        # By grammar nothing tells a letter's place among all tokens.
        return [*exact, TopLogprobs(keys)]
    return [*exact, StructuredOutputs(keys), TopLogprobs(keys)]


async def choose_method(
    ways: Sequence[Method], attempt: Callable[[Method], Awaitable[Reading]]
) -> tuple[Method, Reading]:
    """The first way that answers a question, with that answer.

    Args:
        ways: Best first.
        attempt: Asks the question in one way.

    Raises:
        CheckError: No way does; the reason is that of the best one.
    """
    failures: list[CheckError] = []
    for way in ways:
        try:
            reading = await attempt(way)
        except CheckError as error:
            if error.reason not in CANNOT:
                raise
            failures.append(error)
            continue
        if failures:
            why = "; ".join(error.message for error in failures)
            warn(f"method {way.name}: the letters are read that way, because {why}")
        return way, reading
    if len(ways) == 1:
        raise failures[0]
    tried = "; ".join(
        f"{way.name}: {error.reason}: {error.message}"
        for way, error in zip(ways, failures, strict=True)
    )
    raise CheckError(failures[0].reason, f"no way to read the letters works: {tried}")
