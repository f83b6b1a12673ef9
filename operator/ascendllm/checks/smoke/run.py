"""The steps of smoke, in order; after one that reached no answer the others are skipped."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import httpx

from ascendllm.checks.endpoint import Endpoint, error_detail, json_object, read_models, refusal
from ascendllm.checks.result import Verdict, rounded
from ascendllm.checks.retry import FIRST_CONTACT, RetryPolicy
from ascendllm.checks.runner import CheckName, Outcome, Tracker
from ascendllm.checks.smoke.http import Http
from ascendllm.checks.smoke.shapes import (
    Generation,
    Kind,
    WrongError,
    generation,
    request,
    streamed,
    usage_of,
)
from ascendllm.exceptions import CheckError

__all__ = ["SMOKE", "SmokeOptions", "check_smoke"]

SMOKE = CheckName("smoke", protocol_number=1)
SAME_TEXT_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class SmokeOptions:
    """Which server, and which API.

    Args:
        endpoint: The server.
        kind: base asks /v1/completions, instruct /v1/chat/completions.
        request_timeout: Seconds for one answer.
        first_contact: Patience for the first request.
    """

    endpoint: Endpoint
    kind: Kind = "base"
    request_timeout: float = 120.0
    first_contact: RetryPolicy = FIRST_CONTACT


async def check_smoke(options: SmokeOptions, tracker: Tracker, _checkpoint: str | None) -> Outcome:
    """The check. A server that can't be asked is an `Error`, one that answers wrongly `Failed`."""
    async with httpx.AsyncClient(
        headers=options.endpoint.headers,
        timeout=options.request_timeout,
        follow_redirects=False,
        trust_env=False,
    ) as client:
        steps = _Steps(Http(client, options.endpoint, options.request_timeout), options)
        named = steps.in_order()
        tracker.begin(len(named))
        tracker.figures = lambda: {"checks": list(steps.findings)} | steps.facts
        error: CheckError | None = None
        for name, step in named:
            if error is None:
                error = await steps.take(name, step)
            else:
                steps.skip(name)
            tracker.done += 1
    return _conclude(steps, error)


def _conclude(steps: _Steps, error: CheckError | None) -> Outcome:
    figures = {"checks": steps.findings} | steps.facts
    if error is not None:
        return Outcome("Error", error.reason, error.message, figures)
    failed = [finding for finding in steps.findings if finding["result"] == "Failed"]
    if failed:
        told = "; ".join(f"{f['name']}: expected {f['expected']}, seen {f['seen']}" for f in failed)
        return Outcome("Failed", "WrongAnswers", told, figures)
    names = ", ".join(str(finding["name"]) for finding in steps.findings)
    return Outcome("Passed", "AllPassed", f"as expected: {names}", figures)


class _Steps:
    """Each step returns what it saw, or raises WrongError (Failed) or CheckError (Error)."""

    def __init__(self, http: Http, options: SmokeOptions) -> None:
        self._http = http
        self._options = options
        self._path, self._request = request(options.kind, options.endpoint.model)
        self._whole: Generation | None = None
        self._streamed: Generation | None = None
        self.findings: list[dict[str, object]] = []
        self.facts: dict[str, object] = {}

    def in_order(self) -> list[tuple[str, Callable[[], Awaitable[str]]]]:
        """The steps with their names."""
        return [
            ("health", self._health),
            ("version", self._version),
            ("models", self._models),
            ("completion" if self._options.kind == "base" else "chat", self._answer),
            ("streaming", self._stream),
            ("usage", self._usage),
        ]

    async def take(self, name: str, step: Callable[[], Awaitable[str]]) -> CheckError | None:
        """Take a step and note its finding."""
        self._http.spent = 0.0
        try:
            self._note(name, "Passed", None, await step())
        except WrongError as wrong:
            self._note(name, "Failed", wrong.expected, wrong.seen)
        except CheckError as error:
            self._note(name, "Error", "an answer", error.message)
            return error
        return None

    def skip(self, name: str) -> None:
        """Note a step that was not taken."""
        self.findings.append({"name": name, "result": "Skipped"})

    def _note(self, name: str, result: Verdict, expected: str | None, seen: str) -> None:
        finding: dict[str, object] = {"name": name, "result": result}
        finding["latencyMs"] = rounded(self._http.spent * 1000)
        if expected is not None:
            finding["expected"] = expected
        self.findings.append(finding | {"seen": seen[:400]})

    async def _health(self) -> str:
        answer = await self._http.get("/health", self._options.first_contact)
        if answer.status != 200:
            raise WrongError("HTTP 200", f"HTTP {answer.status}")
        return "HTTP 200"

    async def _version(self) -> str:
        answer = await self._http.get("/version")
        if answer.status != 200:
            raise WrongError("HTTP 200", f"HTTP {answer.status}: {error_detail(answer.body)}")
        version = json_object(answer.body, answer.what).get("version")
        if not isinstance(version, str) or not version:
            raise WrongError('{"version": "…"}', repr(answer.body[:80]))
        self.facts["vllm"] = version[:100]
        return version[:100]

    async def _models(self) -> str:
        answer = await self._http.get("/v1/models")
        if answer.status != 200:
            raise refusal(answer.what, answer.status, answer.body, self._options.endpoint)
        facts = read_models(json_object(answer.body, answer.what), self._options.endpoint)
        if facts.max_model_len is not None:
            self.facts["maxModelLen"] = facts.max_model_len
        return self._options.endpoint.model

    async def _answer(self) -> str:
        self._whole = await self._ask_whole()
        return repr(self._whole.text)

    async def _ask_whole(self) -> Generation:
        answer = await self._http.post(self._path, self._request)
        return generation(answer, self._options.kind, self._options.endpoint)

    async def _stream(self) -> str:
        """The stream, and that its text is that of the answer which is not streamed.

        A server whose own greedy answers differ from each other (bf16 sums depend on the batch)
        is not held to it.
        """
        wanted = self._request | {"stream": True, "stream_options": {"include_usage": True}}
        whole = {self._whole.text} if self._whole else set()
        for _ in range(SAME_TEXT_ATTEMPTS):
            events = await self._http.stream(self._path, wanted)
            what = f"POST {self._path} (streamed)"
            found = streamed(events, what, self._options.kind, self._options.endpoint)
            self._streamed = found
            if not whole or found.text in whole:
                return f"{found.chunks} chunks, usage, [DONE]"
            whole.add((await self._ask_whole()).text)
        if len(whole) > 1:
            return f"{found.chunks} chunks, usage, [DONE]; greedy answers vary on this server"
        raise WrongError(f"the text {next(iter(whole))!r:.160}", f"{found.text!r:.160}")

    async def _usage(self) -> str:
        seen = "no answer to count"
        if self._whole is None and self._streamed is None:
            raise WrongError("usage", seen)
        prompt_tokens = await self._tokenized()
        for found in (self._whole, self._streamed):
            if found is not None:
                seen = usage_of(found, prompt_tokens)
        return seen

    async def _tokenized(self) -> int | None:
        """The prompt's length by /tokenize; None where the server has none."""
        wanted = {k: v for k, v in self._request.items() if k in ("model", "prompt", "messages")}
        answer = await self._http.post("/tokenize", wanted)
        if answer.status != 200:
            return None
        count = json_object(answer.body, answer.what).get("count")
        return count if isinstance(count, int) else None
