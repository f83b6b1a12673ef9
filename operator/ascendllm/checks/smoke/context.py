"""What the checks of one server share: how it is asked, and what is known of it so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from ascendllm.checks.endpoint import error_detail, json_object, served_model
from ascendllm.checks.result import compact_json
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.smoke.findings import NotApplicableError, WrongError, shown
from ascendllm.checks.smoke.http import Answer, Http
from ascendllm.checks.smoke.shapes import Generation, Kind

__all__ = ["COMPLETIONS", "PROMPT", "Choice", "Context"]

COMPLETIONS = "/v1/completions"
PROMPT = "The capital of France is"


@dataclass(frozen=True, slots=True)
class Choice:
    """One choice of a completion."""

    text: str
    finish_reason: str
    body: Mapping[str, object]


@dataclass(slots=True)
class Context:
    """One server under test.

    Args:
        http: How it is asked.
        kind: base or instruct.
        first_contact: Patience for the first request.
        max_num_seqs: How many requests it computes at once; None where that is not known.
        max_model_len: The server's context, once known.
        version: The server's version, once known.
        whole: The first answer.
        stream: The first streamed one.
        bits_a_byte: What the fixed paragraph costs, once known (`groups.text`).
    """

    http: Http
    kind: Kind
    first_contact: RetryPolicy = FIRST_CONTACT
    max_num_seqs: int | None = None
    max_model_len: int | None = None
    version: str | None = None
    whole: Generation | None = None
    stream: Generation | None = None
    bits_a_byte: float | None = None

    async def ask(self, path: str = COMPLETIONS, /, **fields: object) -> Answer:
        """A request for `PROMPT`, 8 greedy tokens, unless `fields` say otherwise."""
        return await self.http.post(path, self._request(fields))

    async def complete(self, **fields: object) -> dict[str, object]:
        """An answer that must be one.

        Raises:
            WrongError: It is another status.
            NotApplicableError: The engine is set up so that it can't do this.
            CheckError: As `Http.post`.
        """
        answer = await self.ask(COMPLETIONS, **fields)
        if answer.status != 200:
            detail = error_detail(answer.body)
            if "speculative decoding" in detail:
                raise NotApplicableError(detail[:160])
            raise WrongError("HTTP 200", f"HTTP {answer.status}: {detail}")
        body = json_object(answer.body, answer.what)
        served_model(body, self.http.endpoint, answer.what)
        return body

    async def choices(self, number: int, **fields: object) -> list[Choice]:
        """An answer of `number` choices.

        Raises:
            WrongError: It has another number, or a choice is none.
            CheckError: As `complete`.
        """
        body = await self.complete(**fields)
        given = body.get("choices")
        if not isinstance(given, list) or len(given) != number:
            raise WrongError(f"{number} choices", shown(given))
        places = [each.get("index") if isinstance(each, dict) else None for each in given]
        if places != list(range(number)) or not all(type(place) is int for place in places):
            raise WrongError(f"choices with index 0 to {number - 1}", shown(given))
        return [_choice(cast("dict[str, object]", each)) for each in given]

    async def choice(self, **fields: object) -> Choice:
        """An answer of one choice.

        Raises:
            WrongError: As `choices`.
            CheckError: As `complete`.
        """
        [choice] = await self.choices(1, **fields)
        return choice

    async def refused(self, status: int = 400, *, saying: str = "", **fields: object) -> str:
        """A request that must be refused in vLLM's own shape; returns the message.

        Raises:
            WrongError: It was not.
            CheckError: As `Http.post`.
        """
        body = compact_json(self._request(fields)).encode()
        return await self.refusal(await self.http.send("POST", COMPLETIONS, body), status, saying)

    async def refusal(self, answer: Answer, status: int, saying: str = "") -> str:
        """Read a refusal: `{"error": {"message", "type", "param", "code"}}`.

        Raises:
            WrongError: It is none, or has another status or shape.
            CheckError: The server died of it, or never saw it.
        """
        if answer.status == 500 and (await self.http.get("/health")).status == 200:
            # In its own words and alive: it should have known better than to try.
            raise WrongError(f"HTTP {status}", f"HTTP 500: {error_detail(answer.body)}")
        self.http.believable(answer)
        if answer.status != status:
            detail = "" if answer.status == 200 else f": {error_detail(answer.body)}"
            raise WrongError(f"HTTP {status}", f"HTTP {answer.status}{detail}")
        error = json_object(answer.body, answer.what).get("error")
        wanted = '{"error": {"message", "type", "param", "code"}}'
        if not isinstance(error, dict) or set(error) != {"message", "type", "param", "code"}:
            raise WrongError(wanted, shown(error))
        message, kind, code = error["message"], error["type"], error["code"]
        if not isinstance(message, str) or not isinstance(kind, str) or code != status:
            raise WrongError(f"{wanted} with code {status}", shown(error))
        if saying not in message:
            raise WrongError(f"a refusal that names {saying}", shown(message))
        return message

    def _request(self, fields: Mapping[str, object]) -> dict[str, object]:
        asked: dict[str, object] = {"model": self.http.endpoint.model}
        if "messages" not in fields:
            asked["prompt"] = PROMPT
        return asked | {"max_tokens": 8, "temperature": 0} | dict(fields)

    async def tokens_of(self, **request: object) -> int | None:
        """A prompt's length by /tokenize; None where the server has none."""
        asked = {"model": self.http.endpoint.model, **request}
        answer = await self.http.post("/tokenize", asked)
        if answer.status != 200:
            return None
        count = json_object(answer.body, answer.what).get("count")
        return count if type(count) is int else None


def _choice(body: dict[str, object]) -> Choice:
    text, reason = body.get("text"), body.get("finish_reason")
    if not isinstance(text, str) or not isinstance(reason, str):
        raise WrongError("a choice with text and finish_reason", shown(body))
    return Choice(text, reason, body)
