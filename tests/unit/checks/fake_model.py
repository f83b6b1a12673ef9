"""A model of forty tokens with made-up but consistent probabilities, behind a FakeServer.

What it writes greedily is what it ranks first when it scores, as with a real model. `nudge` moves
single logits: the same model on another machine.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from unit.checks.fake_server import FakeServer, error, usage

BOS = 1
EOS = 2
TOKENS = 40
Answer = web.Response | None


@dataclass
class FakeModel:
    """Answers /tokenize and /v1/completions of token ids; every answer can be spoiled.

    Args:
        nudge: What is added to the logit of a token behind some ids.
        tie: This one of the tokens 7 and 8 is always the likeliest, and the other one nearly.
        letters: How characters become ids: another number is another tokenizer.
        spoil: Changes a choice before it is sent, or answers in its place; gets the request too.
    """

    nudge: Callable[[Sequence[int], int], float] = lambda _ids, _token: 0.0
    tie: int | None = None
    letters: int = 0
    vocabulary: int = TOKENS
    spoil: Callable[[dict[str, Any], dict[str, Any]], Answer] = lambda _choice, _request: None
    requests: list[dict[str, Any]] = field(default_factory=list)

    def server(self, **changes: Any) -> FakeServer:
        return FakeServer(before=self.answer, **changes)

    def ids(self, text: str) -> list[int]:
        return [BOS, *(3 + (ord(c) + self.letters) % (TOKENS - 3) for c in text)]

    def logprobs(self, ids: Sequence[int]) -> list[float]:
        draw = random.Random(repr(tuple(ids[-6:])))
        logits = [draw.gauss(0, 3) + self.nudge(ids, token) for token in range(TOKENS)]
        logits[EOS] -= 3
        if self.tie is not None:
            logits[7], logits[8] = 30 + 0.0004 * (self.tie == 7), 30 + 0.0004 * (self.tie == 8)
        total = math.log(math.fsum(math.exp(value) for value in logits))
        return [value - total for value in logits]

    async def answer(self, request: web.Request, payload: dict[str, Any]) -> Answer:
        if request.path == "/tokenize":
            text = payload.get("prompt") or "".join(m["content"] for m in payload["messages"])
            return web.json_response({"tokens": self.ids(text)})
        if request.path != "/v1/completions":
            return None
        self.requests.append(payload)
        prompt = payload["prompt"]
        if max(prompt) >= self.vocabulary:
            message = f"Token id {max(prompt)} is out of vocabulary"
            return error(400, "BadRequestError", message)
        choice: dict[str, Any] = {"index": 0, "text": "", "finish_reason": "length"}
        written = self.write(prompt, payload["max_tokens"])
        choice["token_ids"] = written if payload.get("return_token_ids") else None
        choice["prompt_token_ids"] = prompt if payload.get("return_token_ids") else None
        wanted = payload.get("prompt_logprobs")
        choice["prompt_logprobs"] = None if wanted is None else self._score(prompt, wanted)
        if (instead := self.spoil(choice, payload)) is not None:
            return instead
        body = {"id": "1", "model": payload["model"], "choices": [choice]}
        return web.json_response(body | {"usage": usage(len(prompt), len(written))})

    def write(self, prompt: Sequence[int], number: int) -> list[int]:
        written: list[int] = []
        while len(written) < number and EOS not in written:
            values = self.logprobs([*prompt, *written])
            written.append(values.index(max(values)))
        return written

    def _score(self, ids: list[int], number: int) -> list[dict[str, Any] | None]:
        out: list[dict[str, Any] | None] = [None]
        for position in range(1, len(ids)):
            values = self.logprobs(ids[:position])
            order = sorted(range(TOKENS), key=lambda token: -values[token])
            shown = [ids[position], *order[:number]]
            out.append(
                {
                    str(token): {
                        "logprob": values[token],
                        "rank": order.index(token) + 1,
                        "decoded_token": "x",
                    }
                    for token in shown
                }
            )
        return out
