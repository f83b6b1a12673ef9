"""Every question once: the request, the answer's letter, and the order of it all."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ascendllm.checks.client import Client
from ascendllm.checks.mmlu.checkpoint import UNEXTRACTED, Answers
from ascendllm.checks.mmlu.data import LETTERS
from ascendllm.checks.mmlu.methods.choose import NOT_OBEYED, candidates, choose_method
from ascendllm.checks.mmlu.methods.method import Method, Reading, only_choice
from ascendllm.checks.mmlu.prompts import Prompts
from ascendllm.checks.mmlu.protocols.prompt import Prompt
from ascendllm.checks.mmlu.stages import Place, Plan, in_order
from ascendllm.checks.mmlu.survey import survey, too_long
from ascendllm.checks.result import is_number, one_line
from ascendllm.checks.retry import RetryPolicy
from ascendllm.checks.runner import Tracker
from ascendllm.checks.sinks import warn
from ascendllm.checks.together import together
from ascendllm.exceptions import CheckError

__all__ = ["MOST_UNEXTRACTED", "Asking"]

MOST_UNEXTRACTED = 0.05
"""Of the questions. Each counts as wrong, as in lm-eval, so at one in twenty the figure may be five
points too low: five times the usual tolerance, and it says more of the chat template than of the
model. Meta's own models, whose turn begins with "The best answer is", hardly ever miss."""


@dataclass(slots=True)
class Asking:
    """The asking of one run.

    Args:
        client: The server.
        prompts: Makes them.
        answers: Filled in.
        tracker: Told of each answer.
        concurrency: Questions in flight.
        request_timeout: Seconds for one attempt at one question.
        method: How letters are read; None until the first question was asked.
    """

    client: Client
    prompts: Prompts
    answers: Answers
    tracker: Tracker
    concurrency: int
    request_timeout: float
    method: Method | None = None
    _ways: Sequence[Method] = ()
    _choosing: asyncio.Lock = field(default_factory=asyncio.Lock)
    _tokens: Mapping[Place, int] = field(default_factory=dict)
    _max_model_len: int | None = None
    _questions: int = 0
    _last_said: str = "of an earlier attempt"

    async def all(self, plan: Plan, first_contact: RetryPolicy) -> None:
        """Ask what the plan wants and the answers lack, until it has enough.

        Raises:
            CheckError: The server, or an answer of it; the message names the question.
        """
        facts = await self.client.facts(first_contact)
        self._max_model_len = facts.max_model_len
        self._questions = plan.questions
        wanted = _open(plan, self.answers)
        if wanted:
            await self._prepare(wanted)
        for number, stage in enumerate(plan.stages, start=1):
            places = in_order(stage, self.answers)
            await together(self._work(places) for _ in range(self.concurrency))
            # A run that ends here is judged by what was asked so far.
            self._require_letters(self.answers.done)
            if number < len(plan.stages) and plan.enough(number):
                break

    async def _prepare(self, wanted: Mapping[str, Sequence[int]]) -> None:
        """Look at the prompts' lengths and choose the method, by asking the first question."""
        protocol = self.prompts.protocol
        most = max(way.most_tokens for way in candidates(protocol, None))
        found = await survey(
            self.client, self.prompts, wanted, self.concurrency, self._max_model_len, most
        )
        self._tokens = found.tokens
        subject, indices = next(iter(wanted.items()))
        place = (subject, indices[0])
        if found.ids is None and protocol.measures == "letterLogprobs":
            await self._require_one_token_each(place)
        self._ways = candidates(protocol, found.ids)
        self._take(place, await self._choose(place, self._ways))

    async def _choose(self, place: Place, ways: Sequence[Method]) -> Reading:
        """Ask a question in the first way that works, and go on in that way."""
        self.method, reading = await choose_method(ways, lambda way: self._ask(place, way))
        self.answers.methods.add(self.method.name)
        return reading

    async def _work(self, places: Iterator[Place]) -> None:
        for place in places:
            if not self.answers.has(*place):
                self._take(place, await self._answer(place))

    async def _answer(self, place: Place) -> Reading:
        """Ask a question; in the next way where this one turns out to be ignored by the server."""
        method = self.method
        if method is None:
            raise CheckError("InternalError", "asked before a method was chosen; a bug of ours")
        try:
            return await self._ask(place, method)
        except CheckError as error:
            further = self._ways[self._ways.index(method) + 1 :]
            if error.reason not in NOT_OBEYED or not further:
                raise
            async with self._choosing:
                if self.method is method:
                    warn(f"method {method.name} is given up: {error.message}")
                    return await self._choose(place, further)
            return await self._answer(place)

    def _take(self, place: Place, reading: Reading) -> None:
        subject, index = place
        self.answers.letters[subject][index] = reading.letter or UNEXTRACTED
        self.tracker.done += 1
        if reading.letter is None:
            self._last_said = f"{subject}, question {index + 1}: {one_line(reading.said)[:80]!r}"
            self._require_letters(self._questions)

    def _require_letters(self, questions: int) -> None:
        """Make sure that few of so many questions are answered with no letter.

        Raises:
            CheckError: `Extraction`.
        """
        if self.answers.unextracted > MOST_UNEXTRACTED * questions:
            raise CheckError(
                "Extraction",
                f"{self.answers.unextracted} answers name no letter, more than "
                f"{MOST_UNEXTRACTED:.0%} of {questions} questions; the last one: "
                f"{self._last_said}: is the chat template the model's, and model.kind right?",
            )

    async def _ask(self, place: Place, method: Method) -> Reading:
        prompt = self.prompts.of(*place)
        try:
            choice = await self._choice(method, prompt, self._tokens.get(place))
            return method.read(choice)
        except CheckError as error:
            if error.reason == "RequestRefused" and "context length" in error.message:
                size = f"{prompt.size} bytes"
                raise too_long(place, size, method.most_tokens, self._max_model_len) from None
            refused = error.reason == "RequestRefused" and "chat template" in error.message
            raise CheckError(
                "NoChatTemplate" if refused else error.reason,
                f"{place[0]}, question {place[1] + 1}: {error.message}",
            ) from None

    async def _choice(
        self, method: Method, prompt: Prompt, tokens: int | None
    ) -> dict[str, object]:
        """An answer's one choice, its counts looked at."""
        endpoint = self.client.endpoint
        payload = method.payload(endpoint.model, prompt)
        body = await self.client.post(method.path, payload, self.request_timeout)
        choice = only_choice(body, endpoint, method.path)
        _check_usage(body.get("usage"), method, tokens)
        return choice

    async def _require_one_token_each(self, place: Place) -> None:
        """Without /tokenize: by the server's usage each letter must be one token more.

        Raises:
            CheckError: `NoTokenize` where the usage doesn't tell, `LetterTokens` where it is not.
        """
        prompt = self.prompts.of(*place)
        way = candidates(self.prompts.protocol, None)[-1]
        texts = [prompt.text, *(f"{prompt.text} {letter}" for letter in LETTERS)]
        sizes = await together(self._prompt_tokens(way, Prompt(text)) for text in texts)
        base = sizes[0]
        if base is None or None in sizes:
            raise CheckError(
                "NoTokenize",
                "the server has neither /tokenize nor a usage that counts the prompt: whether a "
                "letter is one token can't be told",
            )
        if any(size != base + 1 for size in sizes[1:]):
            raise CheckError(
                "LetterTokens",
                f'{place[0]}: " A" to " D" after the prompt are {sizes[1:]} tokens instead of '
                f"{base + 1}: with this tokenizer one request a question can't measure the letters",
            )
        warn("without /tokenize the letters are told by their text, each being one token")

    async def _prompt_tokens(self, method: Method, prompt: Prompt) -> int | None:
        payload = method.payload(self.client.endpoint.model, prompt)
        body = await self.client.post(method.path, payload, self.request_timeout)
        only_choice(body, self.client.endpoint, method.path)
        return _count(body.get("usage"), "prompt_tokens")


def _open(plan: Plan, answers: Answers) -> dict[str, list[int]]:
    """The unanswered questions of all steps, by subject."""
    found: dict[str, list[int]] = {}
    for stage in plan.stages:
        for subject, indices in stage.items():
            missing = [index for index in indices if not answers.has(subject, index)]
            if missing:
                found.setdefault(subject, []).extend(missing)
    return found


def _check_usage(usage: object, method: Method, tokens: int | None) -> None:
    """Hold the server's counts, where it gives them, against what was asked.

    Raises:
        CheckError: `WrongTokenCount`.
    """
    completion, prompt = _count(usage, "completion_tokens"), _count(usage, "prompt_tokens")
    if completion is not None and not 0 < completion <= method.most_tokens:
        raise CheckError(
            "WrongTokenCount",
            f"POST {method.path}: usage.completion_tokens is {completion}, at most "
            f"{method.most_tokens} were asked for",
        )
    if prompt is not None and tokens is not None and prompt != tokens:
        raise CheckError(
            "WrongTokenCount",
            f"POST {method.path}: usage.prompt_tokens is {prompt}, /tokenize counts {tokens} for "
            "the same prompt: something between here and the model changes prompts",
        )


def _count(usage: object, key: str) -> int | None:
    """A count of a usage; None where it gives none."""
    value = usage.get(key) if isinstance(usage, dict) else None
    return int(value) if is_number(value) and isinstance(value, int) else None
