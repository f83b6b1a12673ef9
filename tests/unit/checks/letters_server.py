"""A server with a distribution over its first token, which it samples and shows as vLLM does."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from unit.checks.fake_server import FakeServer, error, usage
from unit.checks.mmlu_set import right_letter

LETTERS = tuple(f" {letter}" for letter in "ABCD")


def letters_first(prompt: str) -> dict[str, float]:
    """Logits by text: the right letter, the other letters, then forty words."""
    right = f" {right_letter(prompt)}"
    words = {f" {word}": 2.0 - number / 10 for number, word in enumerate(WORDS)}
    return {letter: 5.0 + (letter == right) for letter in LETTERS} | words


WORDS = [f"{first}{second}" for first in "abcdefgh" for second in "vwxyz"]


@dataclass
class LettersServer(FakeServer):
    """`FakeServer` whose completions follow `logits`, with fields that it may not know.

    Args:
        logits: Of the first token, by its text.
        unknown: Fields of a request that are ignored, as vLLM ignores what it doesn't know.
        said: What is generated behind a chat's prefix.
    """

    logits: Callable[[str], dict[str, float]] = letters_first
    unknown: frozenset[str] = frozenset()
    said: Callable[[str], str | None] = lambda prompt: f" {right_letter(prompt)}"
    warnings: list[str] = field(default_factory=list)

    async def _complete(self, request: web.Request, payload: dict[str, Any]) -> web.StreamResponse:
        payload = {key: value for key, value in payload.items() if key not in self.unknown}
        if "messages" in payload:
            return self._chat(payload)
        ids = self.ids(payload["prompt"])
        if len(ids) + payload["max_tokens"] > self.max_model_len:
            message = f"This model's maximum context length is {self.max_model_len} tokens."
            return error(400, "BadRequestError", message)
        logits = self.logits(payload["prompt"].rstrip("ABCD").rstrip())
        shown, sampled = self._sample(payload, logits)
        name = self._name if payload.get("return_tokens_as_token_ids") else str
        likely = sorted(shown, key=lambda text: -shown[text])[: payload.get("logprobs") or 0]
        top = {name(text): max(shown[text], -9999.0) for text in (sampled, *likely)}
        logprobs = {
            "tokens": [name(sampled)],
            "token_logprobs": [max(shown[sampled], -9999.0)],
            "top_logprobs": [top],
        }
        choice = {"index": 0, "text": sampled, "finish_reason": "length", "logprobs": logprobs}
        return self._answer(choice, len(ids), 1)

    def _sample(
        self, payload: dict[str, Any], logits: dict[str, float]
    ) -> tuple[dict[str, float], str]:
        """The log-probabilities that are shown, and the sampled token, as vLLM's sampler."""
        if outputs := payload.get("structured_outputs"):
            allowed = {" ", *outputs["choice"]}
            logits = {" ": -5.0} | logits
            logits = {t: v if t in allowed else -math.inf for t, v in logits.items()}
        shown = log_softmax(logits)
        if allowed_ids := payload.get("allowed_token_ids"):
            logits = {t: v for t, v in logits.items() if self.ids(t)[-1] in allowed_ids}
        return shown, max(logits, key=lambda text: logits[text])

    def _name(self, text: str) -> str:
        return f"token_id:{self.ids(text)[-1]}"

    def _chat(self, payload: dict[str, Any]) -> web.StreamResponse:
        question = payload["messages"][-2]["content"].split("\nQuestion: ", 1)[1]
        said = self.said(question.split("\nYour response")[0])
        text = said if said is None else said.split(payload["stop"][0])[0]
        message = {"role": "assistant", "content": text}
        choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
        prompt = "".join(f"{m['role']}: {m['content']}\n" for m in payload["messages"])
        return self._answer(choice, len(self.ids(prompt)), 2)

    def _answer(self, choice: dict[str, Any], prompt: int, completion: int) -> web.Response:
        body = {"id": "1", "model": self.model, "choices": [choice]}
        return web.json_response(self.spoil(body | {"usage": usage(prompt, completion)}))


def log_softmax(logits: dict[str, float]) -> dict[str, float]:
    total = math.log(sum(math.exp(value) for value in logits.values()))
    return {text: value - total for text, value in logits.items()}
