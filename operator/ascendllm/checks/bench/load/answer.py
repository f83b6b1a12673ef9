"""One streamed answer of the load: what it said, and when."""

from __future__ import annotations

import json

from ascendllm.checks.bench.measured import Sample
from ascendllm.checks.endpoint import Endpoint, error_detail, served_model
from ascendllm.checks.events import EventReader
from ascendllm.exceptions import CheckError

__all__ = ["WHAT", "StreamedAnswer"]

WHAT = "POST /v1/completions (streamed)"

OPENING_BYTES = 4096


class StreamedAnswer:
    """What one stream said so far.

    Args:
        endpoint: The server: its model's name is looked for in the stream.
        input_tokens: The prompt's, as the server counted when it was made.
        output_tokens: As many were asked for.
    """

    __slots__ = (
        "_endpoint",
        "_events",
        "_finish_reason",
        "_moment",
        "_opening",
        "_usage",
        "done",
        "id",
        "input_tokens",
        "moments",
        "output_tokens",
    )

    def __init__(self, endpoint: Endpoint, input_tokens: int, output_tokens: int) -> None:
        self._endpoint = endpoint
        self.input_tokens = input_tokens
        self.output_tokens = output_tokens
        self.id = ""
        self.moments: list[float] = []
        """When each chunk with choices came."""
        self.done = False
        """Whether [DONE] has come."""
        self._moment = 0.0
        self._usage: dict[str, object] | None = None
        self._finish_reason: object = None
        self._opening = b""
        """How the body begins, while no event has come."""
        self._events = EventReader(WHAT, self._event)

    def feed(self, piece: bytes, moment: float) -> None:
        """Read a piece of the body; its events are of the moment at which it came.

        Raises:
            CheckError: `WrongModel`, `BadAnswer`, or `ErrorInStream`: an error that comes with
                HTTP 200, as vLLM sends it once the stream has begun.
        """
        self._moment = moment
        if not self.moments and len(self._opening) < OPENING_BYTES:
            self._opening += piece[:OPENING_BYTES]
        self._events.feed(piece)

    def _event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self.done = True
            return
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            chunk = None
        if not isinstance(chunk, dict):
            raise CheckError("BadAnswer", f"{WHAT}: an event holds no JSON object: {data[:80]!r}")
        if "error" in chunk:
            detail = json.dumps(chunk["error"])[:300]
            raise CheckError("ErrorInStream", f"{WHAT}: the stream ended in an error: {detail}")
        choices = chunk.get("choices")
        if choices and isinstance(choices, list):
            if not self.moments:
                served_model(chunk, self._endpoint, WHAT)
                self.id = str(chunk.get("id", ""))[:200]
            if len(self.moments) >= self.output_tokens:
                raise self._miscounted(f"sent more than {self.output_tokens} chunks with text")
            self.moments.append(self._moment)
            if isinstance(choices[0], dict):
                self._finish_reason = choices[0].get("finish_reason") or self._finish_reason
        if isinstance(chunk.get("usage"), dict):
            self._usage = chunk["usage"]

    def sample(self, due: float, start: float, end: float) -> Sample:
        """The finished request; the moments are in seconds of CLOCK_MONOTONIC.

        Args:
            due: When it should have been sent.
            start: When it was.
            end: When the response had ended.

        Raises:
            CheckError: `ErrorInAnswer`, `NotStreamed`, `StreamCut`, `UsageMissing` or
                `WrongTokenCount`: the answer is not the one that was asked for, so its times mean
                nothing.
        """
        # The reader and this object hold each other, and no garbage is collected during a load.
        del self._events
        if not self.moments and self._opening and b"data:" not in self._opening:
            raise self._no_stream()
        if not self.moments or not self.done:
            raise CheckError(
                "StreamCut",
                f"{WHAT}: the stream broke off after {len(self.moments)} chunks, without [DONE]",
            )
        if self._usage is None:
            raise CheckError(
                "UsageMissing",
                f"{WHAT}: no usage came though stream_options.include_usage was set",
            )
        counted = self._usage.get("prompt_tokens"), self._usage.get("completion_tokens")
        if counted != (self.input_tokens, self.output_tokens):
            raise self._miscounted(f"counted {counted[0]} tokens in and {counted[1]} out")
        return Sample(
            self.id,
            due,
            start,
            tuple(self.moments),
            end,
            self.input_tokens,
            self.output_tokens,
        )

    def _no_stream(self) -> CheckError:
        """HTTP 200 with something else than a stream of events."""
        try:
            said = json.loads(self._opening)
        except (ValueError, RecursionError):
            said = None
        detail = error_detail(self._opening)
        if isinstance(said, dict) and "error" in said:
            return CheckError("ErrorInAnswer", f"{WHAT} answered HTTP 200 with an error: {detail}")
        return CheckError(
            "NotStreamed",
            f"{WHAT} answered no stream of events but {detail}; is vLLM behind this address?",
        )

    def _miscounted(self, seen: str) -> CheckError:
        return CheckError(
            "WrongTokenCount",
            f"{WHAT}: the server {seen}, asked for were {self.input_tokens} and "
            f"{self.output_tokens} (ignore_eos, finish_reason {self._finish_reason!r})",
        )
