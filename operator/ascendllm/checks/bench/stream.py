"""One streamed answer of the load: what it said, and when."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from ascendllm.checks.bench.metrics import Sample
from ascendllm.checks.endpoint import Endpoint, served_model
from ascendllm.exceptions import CheckError

__all__ = ["WHAT", "StreamedAnswer"]

WHAT = "POST /v1/completions (streamed)"


@dataclass(slots=True)
class StreamedAnswer:
    """What one stream said so far.

    Args:
        endpoint: The server: its model's name is looked for in the stream.
        start: When the request was sent, in seconds of CLOCK_MONOTONIC.
    """

    endpoint: Endpoint
    start: float
    id: str = ""
    moments: list[float] = field(default_factory=list)
    usage: dict[str, object] | None = None
    finish_reason: object = None
    done: bool = False

    def event(self, data: bytes, moment: float) -> None:
        """Take one event.

        Raises:
            CheckError: `WrongModel`, `BadAnswer`, or `ErrorInStream`: an error that comes with
                HTTP 200, as vLLM sends it once the stream has begun.
        """
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
                served_model(chunk, self.endpoint, WHAT)
                self.id = str(chunk.get("id", ""))[:200]
            self.moments.append(moment)
            if isinstance(choices[0], dict):
                self.finish_reason = choices[0].get("finish_reason") or self.finish_reason
        if isinstance(chunk.get("usage"), dict):
            self.usage = chunk["usage"]

    def sample(self, input_tokens: int, output_tokens: int) -> Sample:
        """The finished request.

        Raises:
            CheckError: `StreamCut`, `UsageMissing` or `WrongTokenCount`: the answer is not the
                one that was asked for, so its times mean nothing.
        """
        if not self.moments or not self.done:
            raise CheckError(
                "StreamCut",
                f"{WHAT}: the stream broke off after {len(self.moments)} chunks, without [DONE]",
            )
        if self.usage is None:
            raise CheckError(
                "UsageMissing",
                f"{WHAT}: no usage came though stream_options.include_usage was set",
            )
        counted = self.usage.get("prompt_tokens"), self.usage.get("completion_tokens")
        if counted != (input_tokens, output_tokens):
            raise CheckError(
                "WrongTokenCount",
                f"{WHAT}: the server counted {counted[0]} tokens in and {counted[1]} out, asked "
                f"for were {input_tokens} and {output_tokens} (ignore_eos, finish_reason "
                f"{self.finish_reason!r})",
            )
        gaps = zip(self.moments, self.moments[1:], strict=False)
        return Sample(
            self.id,
            self.start,
            self.moments[0],
            self.moments[-1],
            tuple(later - earlier for earlier, later in gaps),
            input_tokens,
            output_tokens,
        )
