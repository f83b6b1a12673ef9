"""3. Is it language? What a model says is not judged, but whether it could be a model's.

The measure is bits a byte of a fixed plain paragraph, from `prompt_logprobs`: unlike perplexity it
means the same for every tokenizer. Uniform guessing over bytes costs 8. Over the tokens of a
vocabulary of 32,000 to 150,000 it costs 3.3 to 3.8, and that is what random weights come to. Words
drawn by their frequency alone cost about 2.3. Trained models need 1.0 (124 million parameters) down
to 0.6. So `LIMIT` is above any trained model that has read English and below any that has not been
trained, or that is computed wrongly. A model of something else than text is right to miss it:
`--no-language` leaves it out. `BROKEN` is what no model that computes rightly reaches.
"""

from __future__ import annotations

import math
import re

from ascendllm.checks.result import is_number
from ascendllm.checks.smoke.context import Context
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError, shown

__all__ = ["BROKEN", "LIMIT", "PARAGRAPH", "knowledge", "language", "log_probabilities", "variety"]

LIMIT = 2.5
BROKEN = 8.0
LEAST = -9998.0
"""vLLM writes -9999 where a log-probability is minus infinity."""

PARAGRAPH = (
    "Every morning the baker opened his small shop on the corner of the street. He put the fresh "
    "bread in the window, and soon people came in to buy it. Some of them stayed for a while to "
    "talk about the weather and the news of the day. In the afternoon the children came home from "
    "school and asked for something sweet. When the sun went down, the baker cleaned the tables, "
    "counted the money, and locked the door. He was tired, but he was happy, because he knew that "
    "tomorrow he would do the same again."
)
_REPEATED = re.compile(r"(.{1,12}?)\1{7,}.{0,12}", re.DOTALL)


async def log_probabilities(context: Context) -> str:
    """Each token of the paragraph has a log-probability, and they are no worse than dice."""
    bits = context.bits_a_byte = await _bits_a_byte(context)
    if bits > BROKEN:
        raise WrongError(f"at most {BROKEN} bits a byte (guessing each byte)", f"{bits:.2f}")
    return f"{bits:.2f} bits a byte"


async def language(context: Context) -> str:
    """The paragraph costs no more than a model that has read English needs."""
    bits = context.bits_a_byte
    if bits is None:
        raise NotApplicableError("the paragraph's log-probabilities are not known")
    if bits > LIMIT:
        raise WrongError(
            f"at most {LIMIT} bits a byte of plain English (language: false leaves this out)",
            f"{bits:.2f}: the model talks nonsense",
        )
    return f"{bits:.2f} bits a byte"


async def variety(context: Context) -> None:
    """The answer is not one piece again and again."""
    text = context.whole.text.strip() if context.whole else ""
    if not text:
        raise NotApplicableError("there is no answer to look at")
    if _REPEATED.fullmatch(text):
        raise WrongError("an answer of more than one piece", shown(text))


async def knowledge(context: Context) -> None:
    """Paris is among the twenty likeliest words behind "The capital of France is"."""
    answer = await context.ask(logprobs=20, max_tokens=1)
    if answer.status != 200:
        raise NotApplicableError("the server gives fewer than 20 log-probabilities")
    choice = await context.choice(logprobs=20, max_tokens=1)
    held = choice.body.get("logprobs")
    top = held.get("top_logprobs") if isinstance(held, dict) else None
    if not isinstance(top, list) or not top or not isinstance(top[0], dict):
        raise WrongError("logprobs with top_logprobs", shown(held))
    names = [str(name).strip() for name in top[0]]
    if not any(len(name) > 1 and "Paris".startswith(name) for name in names):
        raise WrongError("Paris among the twenty likeliest", ", ".join(names)[:160])


async def _bits_a_byte(context: Context) -> float:
    """What the paragraph costs.

    Raises:
        WrongError: A token has no log-probability, or none that is finite.
        NotApplicableError: The paragraph doesn't fit.
    """
    tokens = await context.tokens_of(prompt=PARAGRAPH)
    room = context.max_model_len
    if room is not None and (tokens or len(PARAGRAPH)) + 1 > room:
        raise NotApplicableError(f"the paragraph does not fit into a context of {room}")
    choice = await context.choice(prompt=PARAGRAPH, prompt_logprobs=0, max_tokens=1)
    rows = choice.body.get("prompt_logprobs")
    if not isinstance(rows, list) or len(rows) < 2:
        raise WrongError("prompt_logprobs of each token", shown(rows))
    nats = 0.0
    for place, row in enumerate(rows[1:], 1):
        entries = list(row.values()) if isinstance(row, dict) else []
        value = entries[0].get("logprob") if entries and isinstance(entries[0], dict) else None
        if not is_number(value) or not isinstance(value, int | float) or not LEAST < value <= 0.01:
            raise WrongError(f"a log-probability of token {place}, 0 or less", shown(value))
        nats -= value
    return nats / math.log(2) / len(PARAGRAPH.encode())
