"""Between lm-eval and the server: every request is accounted for, and every answer looked at.

lm-eval turns some bad answers into wrong ones (an answer without content counts as an empty text)
and repeats failed requests as it sees fit. Here every request is repeated by our own rules, every
answer must be whole and bear the model's name, and the first that is not ends the run. The API key
is added here, so it is in no argument, file or environment of lm-eval. The address holds a random
part, so that no other process of the machine borrows the key.

For tasks of log-probabilities lm-eval needs the server's tokenizer. Its `remote` tokenizer asks
/tokenizer_info, which vLLM serves only when told to, and never sends the token that begins a text.
Both are made good here: /tokenizer_info is answered from /tokenize, and the beginning token is put
before the prompt and taken out of the answer, which is what lm-eval does by itself with a tokenizer
on disk and `add_bos_token=True` (lm_eval 0.4.12, `models/api_models.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import cast

from aiohttp import web

from ascendllm.checks.client import FACTS_TIMEOUT, Client
from ascendllm.checks.evals.answers import is_scored, read_generation, read_scored
from ascendllm.checks.result import compact_json
from ascendllm.exceptions import CheckError

__all__ = ["Beginning", "Proxy", "find_beginning"]

REQUEST_BYTES = 16 * 1024 * 1024
GENERATE = {"/v1/completions", "/v1/chat/completions"}


@dataclass(frozen=True, slots=True)
class Beginning:
    """The token that the server puts before every text.

    Args:
        id: Its id.
        text: How it is written, such as `<|begin_of_text|>`.
    """

    id: int
    text: str


async def find_beginning(client: Client) -> Beginning | None:
    """The server's own beginning token, None where it adds none.

    Raises:
        CheckError: The server has no /tokenize, or adds what can't be told.
    """
    body = {"model": client.endpoint.model, "prompt": " the"}
    bare = await _tokens(client, body | {"add_special_tokens": False})
    whole = await _tokens(client, body | {"add_special_tokens": True, "return_token_strs": True})
    if whole.ids == bare.ids:
        return None
    text = whole.texts[0] if whole.texts else ""
    if whole.ids[1:] == bare.ids and text:
        written = {"model": client.endpoint.model, "prompt": text, "add_special_tokens": False}
        if (await _tokens(client, written)).ids == whole.ids[:1]:
            return Beginning(whole.ids[0], text)
    raise CheckError(
        "BadTokenizer",
        f"POST /tokenize: the server writes {whole.ids} with and {bare.ids} without its special "
        "tokens: that is not one token before the text, and lm-eval could not be fed to the letter",
    )


@dataclass(frozen=True, slots=True)
class _Tokens:
    ids: list[int]
    texts: list[str]


async def _tokens(client: Client, body: Mapping[str, object]) -> _Tokens:
    try:
        answer = await client.post("/tokenize", body, FACTS_TIMEOUT)
    except CheckError as error:
        if error.reason in ("WrongServer", "RequestRefused"):
            raise CheckError(
                "NoTokenize",
                f"{error.message}; a task of log-probabilities needs the server's tokenizer",
            ) from None
        raise
    ids, texts = answer.get("tokens"), answer.get("token_strs")
    if not isinstance(ids, list) or not ids or not all(type(token) is int for token in ids):
        raise CheckError("BadAnswer", "POST /tokenize answered no list of token ids")
    known = texts if isinstance(texts, list) and all(isinstance(t, str) for t in texts) else []
    return _Tokens(cast("list[int]", ids), cast("list[str]", known))


@dataclass(slots=True)
class Proxy:
    """The proxy of one run of lm-eval.

    Args:
        client: To the server.
        seconds: The time limit of one attempt at one request.
        answered: Called once for each request that was answered wholly.
        beginning: Put before prompts of ids that are scored; None: prompts stay as they are.
        tokens: Tokens that /tokenizer_info names, by lm-eval's keys.
    """

    client: Client
    seconds: float
    answered: Callable[[], None]
    beginning: Beginning | None = None
    tokens: Mapping[str, str | None] = field(default_factory=dict)
    failure: asyncio.Future[CheckError] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    done: int = 0
    """Requests answered wholly."""
    secret: str = field(default_factory=lambda: secrets.token_hex(16))
    address: str = ""

    @contextlib.asynccontextmanager
    async def serve(self) -> AsyncIterator[Proxy]:
        """Listen on a free port of the loopback interface."""
        app = web.Application(client_max_size=REQUEST_BYTES)
        app.router.add_route("*", f"/{self.secret}/{{path:.*}}", self._handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            self.address = f"http://127.0.0.1:{runner.addresses[0][1]}/{self.secret}"
            yield self
        finally:
            await runner.cleanup()

    def fail(self, error: CheckError) -> None:
        """End the run: no number comes out of it any more."""
        if not self.failure.done():
            self.failure.set_result(error)

    async def _handle(self, request: web.Request) -> web.Response:
        path = "/" + request.match_info["path"]
        try:
            if self.failure.done():
                raise self.failure.result()
            return web.json_response(
                await self._answer(request.method, path, await request.read()),
                dumps=compact_json,
            )
        except CheckError as error:
            self.fail(error)
        except Exception as error:
            cause = f"{type(error).__name__}: {error}"[:400]
            self.fail(CheckError("InternalError", f"a bug of ours in the proxy: {cause}"))
        message = self.failure.result().message
        return web.json_response({"error": {"message": message, "code": 502}}, status=502)

    async def _answer(self, method: str, path: str, body: bytes) -> dict[str, object]:
        if (method, path) == ("GET", "/tokenizer_info"):
            return dict(self.tokens)
        payload = _payload(body, f"{method} {path}")
        if method == "POST" and path in ("/tokenize", "/detokenize"):
            model = {"model": self.client.endpoint.model}
            return await self.client.post(path, model | payload, FACTS_TIMEOUT)
        if method != "POST" or path not in GENERATE:
            raise CheckError("HarnessFailed", f"lm-eval asked for {method} {path}: not understood")
        answer = (
            await self._scored(payload)
            if is_scored(payload)
            else await self._generated(path, payload)
        )
        self.done += 1
        self.answered()
        return answer

    async def _generated(self, path: str, payload: Mapping[str, object]) -> dict[str, object]:
        answer = await self.client.post(path, payload, self.seconds)
        read_generation(answer, self.client.endpoint, path)
        return answer

    async def _scored(self, payload: Mapping[str, object]) -> dict[str, object]:
        """A prompt of ids, its own tokens' log-probabilities wanted."""
        prompts = payload.get("prompt")
        prompt = prompts[0] if isinstance(prompts, list) and len(prompts) == 1 else prompts
        if not isinstance(prompt, list) or not all(type(token) is int for token in prompt):
            raise CheckError("HarnessFailed", "lm-eval sent a prompt to score that is no one list")
        added = self.beginning is not None and prompt[:1] != [self.beginning.id]
        sent = [self.beginning.id, *prompt] if self.beginning is not None and added else prompt
        answer = await self.client.post(
            "/v1/completions", dict(payload) | {"prompt": [sent]}, self.seconds
        )
        read_scored(answer, self.client.endpoint, len(sent), skip=int(added))
        return answer


def _payload(body: bytes, what: str) -> dict[str, object]:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise CheckError("HarnessFailed", f"lm-eval sent {what} without a JSON object")
    return cast("dict[str, object]", payload)
