"""Plans the whole answer of the simulated model before its first token is due.

The text depends on the prompt alone (greedy) or on the prompt and the seed. A prompt that ends
with an MMLU question is answered with a letter (`mmlu`).
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ascendllm_simulator import tokenizer
from ascendllm_simulator.mmlu import LETTERS, MmluAnswerer, recognise, recognise_turn
from ascendllm_simulator.protocol import SamplingRequest

__all__ = ["WORDS", "Plan", "Prompt", "letter_choice", "write"]

_WORDS = (
    "the of and to in is that for it was on are as with at be this have from or had by hot but "
    "some what there we can out other were all your when up use word how said an each she which "
    "do their time if will way about many then them would write like so these her long make thing "
    "see him two has look more day could go come did my sound no most number who over know water "
    "than call first people may down side been now find any new work part take get place made "
    "live where after back little only round man year came show every good me give our under"
)
WORDS = tuple(tokenizer.encode(f" {word}")[0] for word in _WORDS.split())
"""The words of free text, each a single token."""

_KNOWN = ("The capital of France is", " Paris")
"""The one fact that the model knows: the end of a prompt and its answer."""

_PERIOD = tokenizer.encode(".")[0]
_SENTENCE = 14
_MASK = 2**64 - 1


@dataclass(frozen=True, slots=True)
class Prompt:
    """A prompt: its tokens, and its text without special tokens."""

    ids: list[int]
    text: str
    chat: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A planned answer.

    Args:
        seed: The seed of its probabilities.
        ids: Its tokens, including the one that ends it.
        wanted: The tokens that the model would write without `allowed_token_ids`.
        letter: The MMLU letter of the first token, and the space that precedes it.
        text: The text of the answer, cut at a stop string.
        ends: For each token, how much of `text` may be sent after it.
        finish_reason: stop | length.
        stop_reason: The stop string or token that ended it, None for EOS and for length.
        first: The tokens with which a grammar allows it to start, None without a grammar.
    """

    seed: int
    ids: list[int]
    wanted: list[int]
    letter: tuple[str, str] | None
    text: str
    ends: list[int]
    finish_reason: str
    stop_reason: int | str | None
    first: frozenset[int] | None = None


def write(
    prompt: Prompt,
    request: SamplingRequest,
    answerer: MmluAnswerer | None,
    max_tokens: int,
    index: int,
) -> Plan:
    """Plan one answer.

    Args:
        prompt: The prompt.
        request: A validated request.
        answerer: Answers MMLU questions; None if they get no letter.
        max_tokens: The maximum number of tokens.
        index: The index of the choice among the request's `n`.
    """
    seed = zlib.crc32(prompt.text.encode("utf-8", "replace"))
    if request.use_beam_search:
        # The first beam is the greedy answer; the others differ in their last token.
        return _beam(prompt, request, answerer, max_tokens, index)
    if not greedy(request):
        drawn = random.getrandbits(32) if request.seed is None else request.seed
        seed = (seed ^ drawn * 0x9E3779B97F4A7C15 ^ index * 0xBF58476D1CE4E5B9) & _MASK
    letter = letter_choice(prompt, answerer)
    opening, closed = _opening(prompt, request, letter, seed)
    end = _length(prompt, request, len(opening), closed, seed)
    wanted = _tokens(opening, min(max_tokens, end), seed)
    eos = end < max_tokens and _may(request, tokenizer.EOS)
    if end < max_tokens and not eos:
        wanted = _tokens(opening, max_tokens, seed)
    ids = _allowed(wanted, request.allowed_token_ids, seed)
    if eos:
        ids, wanted = [*ids, tokenizer.EOS], [*wanted, tokenizer.EOS]
    plan = _finish(seed, ids, wanted, letter, request, eos)
    choices = request.structured_outputs.choice if request.structured_outputs else None
    return replace(plan, first=_beginnings(choices)) if choices else plan


def _beginnings(choices: Sequence[str]) -> frozenset[int]:
    """The tokens with which an answer may start: all whose text is a prefix of a choice."""
    starts = (choice[:length] for choice in choices for length in range(1, len(choice) + 1))
    tokens = (tokenizer.encode(start) for start in starts)
    return frozenset(ids[0] for ids in tokens if len(ids) == 1)


def greedy(request: SamplingRequest) -> bool:
    """Whether sampling can return only the most likely token."""
    temperature = 1.0 if request.temperature is None else request.temperature
    # The probability of the most likely token is at least 0.38 here (`logprobs`).
    return temperature < 1e-5 or request.top_k == 1 or (request.top_p or 1.0) <= 0.3


def _beam(
    prompt: Prompt,
    request: SamplingRequest,
    answerer: MmluAnswerer | None,
    max_tokens: int,
    index: int,
) -> Plan:
    first = request.model_copy(update={"use_beam_search": False, "temperature": 0.0, "n": 1})
    plan = write(prompt, first, answerer, max_tokens, 0)
    if index == 0 or not plan.ids:
        return plan
    last = WORDS[(plan.seed + index) % len(WORDS)]
    last = last if last != plan.ids[-1] else WORDS[(plan.seed + index + 31) % len(WORDS)]
    ids = [*plan.ids[:-1], last]
    return _finish(plan.seed, ids, list(ids), plan.letter, first, False)


def letter_choice(prompt: Prompt, answerer: MmluAnswerer | None) -> tuple[str, str] | None:
    """The letter that answers an MMLU prompt, and a space if the prompt ends without one."""
    if answerer is None:
        return None
    if prompt.chat and (asked := recognise_turn(prompt.text)) is not None:
        return answerer.answer(asked), " "
    if not prompt.text.rstrip().endswith("Answer:"):
        return None
    question = recognise(prompt.text)
    if question is None:
        return None
    space = "" if prompt.chat or prompt.text[-1].isspace() else " "
    return answerer.answer(question), space


def _opening(
    prompt: Prompt, request: SamplingRequest, letter: tuple[str, str] | None, seed: int
) -> tuple[list[int], bool]:
    """The tokens with which the answer starts, and whether it ends after them."""
    choices = request.structured_outputs.choice if request.structured_outputs else None
    if choices:
        fitting = [c for c in choices if letter and c.strip() == letter[0]]
        return tokenizer.encode((fitting or choices)[0 if fitting else seed % len(choices)]), True
    kind = request.response_format.type if request.response_format else "text"
    if kind in ("json_object", "json_schema"):
        return tokenizer.encode("{}"), True
    if letter is None:
        known = prompt.text.rstrip().endswith(_KNOWN[0]) and not prompt.chat
        return (tokenizer.encode(_KNOWN[1]), False) if known else ([], False)
    tokens = tokenizer.encode(letter[1] + letter[0])
    if prompt.chat and letter[1]:
        return [*tokens, *tokenizer.encode(".")], True
    return (tokens, True) if prompt.chat else ([*tokens, 10, 10], False)


def _length(prompt: Prompt, request: SamplingRequest, opening: int, closed: bool, seed: int) -> int:
    """The number of tokens after which the model stops; 2**62 if it may not stop."""
    if request.ignore_eos:
        return 2**62
    if closed:
        return opening
    free = 8 + seed % 57 if prompt.chat else 64 + seed % 961
    return max(opening + free, request.min_tokens)


def _tokens(opening: Sequence[int], number: int, seed: int) -> list[int]:
    tokens = list(opening[:number])
    state = (seed * 6364136223846793005 + 1442695040888963407) & _MASK
    for position in range(number - len(tokens)):
        state = (state * 6364136223846793005 + 1442695040888963407) & _MASK
        full_stop = position % _SENTENCE == _SENTENCE - 1
        tokens.append(_PERIOD if full_stop else WORDS[(state >> 33) % len(WORDS)])
    return tokens


def _may(request: SamplingRequest, token: int) -> bool:
    return request.allowed_token_ids is None or token in request.allowed_token_ids


def _allowed(wanted: list[int], allowed: Sequence[int] | None, seed: int) -> list[int]:
    if allowed is None:
        return list(wanted)
    permitted = frozenset(allowed)
    return [
        token if token in permitted else allowed[(seed + position) % len(allowed)]
        for position, token in enumerate(wanted)
    ]


def _finish(
    seed: int,
    ids: list[int],
    wanted: list[int],
    letter: tuple[str, str] | None,
    request: SamplingRequest,
    eos: bool,
) -> Plan:
    """Decode the tokens and cut them at the first stop string or stop token."""
    stops = [request.stop] if isinstance(request.stop, str) else request.stop or []
    stop_ids = frozenset(request.stop_token_ids or ())
    keep = request.include_stop_str_in_output
    longest = max(map(len, stops), default=0)
    hold = 0 if keep or not stops else longest - 1
    pieces: list[str] = []
    lengths: list[int] = []
    size = 0
    tail = ""
    cut: int | None = None
    stopped_by: int | str | None = None
    for position, token in enumerate(ids):
        piece = tokenizer.decode((token,), skip_special=request.skip_special_tokens)
        if token in stop_ids and position >= request.min_tokens:
            piece, stopped_by = (piece if keep else ""), token
        pieces.append(piece)
        size += len(piece)
        lengths.append(size)
        if stopped_by is None and stops:
            # A new stop string can only be at the end of the text.
            tail = (tail + piece)[-(longest + len(piece)) :]
            if position + 1 > request.min_tokens:
                cut, stopped_by = _stopped(tail, size - len(tail), stops, len(piece), keep)
        if stopped_by is not None:
            break
    text = "".join(pieces)[:cut]
    reason = "stop" if eos or stopped_by is not None else "length"
    ends = _ends(lengths, hold, len(text))
    return Plan(seed, ids[: len(pieces)], wanted, letter, text, ends, reason, stopped_by)


def _stopped(
    tail: str, start: int, stops: Sequence[str], new: int, keep: bool
) -> tuple[int | None, str | None]:
    """Find the stop string that the latest piece completes, and where it cuts the text.

    Args:
        tail: The end of the text.
        start: The position of `tail` in the text.
        stops: The stop strings.
        new: The number of characters of the latest piece.
        keep: Whether the stop string stays in the text.
    """
    for stop in stops:
        index = tail.find(stop, max(0, len(tail) - new - len(stop) + 1))
        if index >= 0:
            return start + index + (len(stop) if keep else 0), stop
    return None, None


def _ends(lengths: Sequence[int], hold: int, total: int) -> list[int]:
    """How much may be sent after each token; text that may become a stop string is held back."""
    ends = [max(0, min(length - hold, total)) for length in lengths]
    if ends:
        ends[-1] = total
    return ends


def letter_tokens(space: str) -> list[int]:
    """The ids of the four letters, with or without the space that the prompt requires."""
    return [tokenizer.encode(space + letter)[0] for letter in LETTERS]
