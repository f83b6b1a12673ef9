"""A model against a reference: measured in one way whoever the source is, and told in figures.

Each reference answer is scored in one teacher-forced pass: no difference at one token reaches the
next. A token counts as agreeing where it is the likeliest here too, or where the reference itself
had it ahead of the next one by no more than the noise: there no other choice is a mistake. Beside
it the model writes on its own, and the first differing token is reported.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ascendllm.checks.parity.reference import PromptRecord, Reference, TextRecord
from ascendllm.checks.parity.source import Scored, Source
from ascendllm.checks.result import rounded
from ascendllm.checks.together import together

__all__ = ["Measured", "figures_of", "measure"]

TWO_SIDED_95 = 1.959964


@dataclass(slots=True)
class Measured:
    """What was seen, in the reference's order.

    Args:
        answers: For each prompt its answer's tokens, scored.
        own: For each prompt what the model wrote by itself.
        texts: For each window its tokens' log-probabilities, the first token left out.
    """

    answers: dict[str, Sequence[Scored]] = field(default_factory=dict)
    own: dict[str, Sequence[int]] = field(default_factory=dict)
    texts: dict[str, Sequence[float]] = field(default_factory=dict)


async def measure(
    source: Source, reference: Reference, concurrency: int, done: Callable[[], None]
) -> Measured:
    """Ask the source everything; `done` is called after each prompt and window.

    Raises:
        CheckError: An answer could not be had, or is not sound.
    """
    measured = Measured()

    async def prompt(record: PromptRecord) -> None:
        start = len(record.prompt_token_ids)
        if record.output_token_ids:
            whole = (*record.prompt_token_ids, *record.output_token_ids)
            measured.answers[record.id] = (await source.score(whole, 1))[start - 1 :]
        most = int(str(reference.meta["maxTokens"]))
        measured.own[record.id] = await source.write(record.prompt_token_ids, most)
        done()

    async def text(record: TextRecord) -> None:
        scored = await source.score(record.token_ids, 0)
        measured.texts[record.id] = [token.logprob for token in scored]
        done()

    prompts, texts = iter(reference.prompts), iter(reference.texts)

    async def worker() -> None:
        for record in prompts:
            await prompt(record)
        for window in texts:
            await text(window)

    await together(worker() for _ in range(concurrency))
    return measured


def figures_of(reference: Reference, measured: Measured, noise: float) -> dict[str, object]:
    """The figures of a comparison.

    Args:
        reference: What was recorded.
        measured: What was seen.
        noise: Nat; see the module's description.

    Returns:
        `prompts, tokens, rankAgreement, rankOneShare (percent), mismatches, noise, firstDivergence,
        divergedBeyondNoise, perplexity, referencePerplexity, perplexityDifference and
        perplexityPrecision (percent), perplexityTokens, mean/p99/maxLogprobDifference (nat)`.
    """
    tokens = rank_one = mismatches = 0
    differences: list[float] = []
    for record in reference.prompts:
        for position, seen in enumerate(measured.answers.get(record.id, ())):
            tokens += 1
            rank_one += seen.rank == 1
            mismatches += seen.rank != 1 and record.gap(position) > noise
            differences.append(abs(seen.logprob - record.output_logprobs[position]))
    figures: dict[str, object] = {
        "prompts": len(reference.prompts),
        "tokens": tokens,
        "rankAgreement": rounded(100 * (tokens - mismatches) / tokens),
        "rankOneShare": rounded(100 * rank_one / tokens),
        "mismatches": mismatches,
        "noise": rounded(noise, 6),
    }
    figures |= _first_divergence(reference, measured, noise)
    figures |= _perplexity(reference, measured)
    return figures | {
        "meanLogprobDifference": rounded(math.fsum(differences) / tokens, 6),
        "p99LogprobDifference": rounded(_percentile(differences, 0.99), 6),
        "maxLogprobDifference": rounded(max(differences), 6),
    }


def _first_divergence(reference: Reference, measured: Measured, noise: float) -> dict[str, object]:
    """Where free-running answers part; `divergedBeyondNoise`: those that no near tie explains."""
    places: list[int] = []
    gaps: list[float] = []
    for record in reference.prompts:
        place = _parting(record.output_token_ids, measured.own[record.id])
        if place is not None:
            places.append(place)
            gaps.append(record.gap(place))
    found: dict[str, object] = {"diverged": len(places)}
    if places:
        found |= {"earliest": min(places), "median": rounded(statistics.median(places), 1)}
    return {"firstDivergence": found, "divergedBeyondNoise": sum(gap > noise for gap in gaps)}


def _parting(one: Sequence[int], other: Sequence[int]) -> int | None:
    """The first place at which two answers differ; None where they are equal."""
    for place, (left, right) in enumerate(zip(one, other, strict=False)):
        if left != right:
            return place
    return None if len(one) == len(other) else min(len(one), len(other))


def _perplexity(reference: Reference, measured: Measured) -> dict[str, object]:
    """exp(- mean log-probability) of both, and how well the difference is known.

    The precision is that of the difference as an estimate for other text: 1.96 standard errors of
    the mean of the tokens' differences, in percent of the perplexity.
    """
    ours = [value for text in reference.texts for value in measured.texts[text.id]]
    theirs = [value for text in reference.texts for value in text.logprobs]
    number = len(ours)
    if number < 2:
        return {"perplexityTokens": number}
    mine, reference_mean = -math.fsum(ours) / number, -math.fsum(theirs) / number
    differences = [b - a for a, b in zip(ours, theirs, strict=True)]
    error = statistics.stdev(differences) / math.sqrt(number)
    return {
        "perplexity": rounded(math.exp(min(mine, 700.0)), 4),
        "referencePerplexity": rounded(math.exp(min(reference_mean, 700.0)), 4),
        "perplexityDifference": rounded(100 * math.expm1(min(mine - reference_mean, 20.0)), 4),
        "perplexityPrecision": rounded(100 * math.expm1(min(TWO_SIDED_95 * error, 20.0)), 4),
        "perplexityTokens": number,
    }


def _percentile(values: Sequence[float], share: float) -> float:
    """Linear between the neighbours, as numpy.percentile does."""
    ordered = sorted(values)
    place = (len(ordered) - 1) * share
    low = math.floor(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
