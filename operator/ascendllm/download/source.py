"""Where a model comes from, as the command line has it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ascendllm.exceptions import SpecError

__all__ = ["COPIED", "Source", "parse_source"]

COPIED = "copied"
"""The files are in the folder already, brought there from an image."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_HUBS = {"hf": "main", "ms": "master"}


@dataclass(frozen=True, slots=True)
class Source:
    """The place of a model or an adapter.

    Attributes:
        kind: hf (Hugging Face), ms (ModelScope), s3, or `COPIED`.
        where: The repository; of S3 the URI.
        revision: Of a hub; "" elsewhere.
        endpoint: The server's address; None for the public one.
        region: Of S3, what requests are signed for.
        weights: Whether the weights are wanted, not only configuration and tokenizer.
        adapter: Whether it is a LoRA adapter, not a model.
    """

    kind: str
    where: str
    revision: str = ""
    endpoint: str | None = None
    region: str | None = None
    weights: bool = True
    adapter: bool = False

    @property
    def field(self) -> str:
        """Where source and cache stand in a resource; the name of an adapter is each resource's."""
        return "spec.engine.loras[]" if self.adapter else "spec.model"

    def __str__(self) -> str:
        if self.kind == COPIED:
            return "the image's folder"
        at = f"@{self.revision}" if self.revision else ""
        server = f" at {self.endpoint}" if self.endpoint else ""
        return f"{self.where if self.kind == 's3' else f'{self.kind}://{self.where}'}{at}{server}"


def parse_source(
    text: str,
    *,
    revision: str | None,
    endpoint: str | None,
    region: str | None,
    weights: bool,
    adapter: bool,
) -> Source:
    """Read the command's argument and options.

    Raises:
        SpecError: `BadSource`.
    """
    kind, _, where = text.partition("://")
    if text == COPIED:
        source = Source(COPIED, "", weights=weights, adapter=adapter)
    elif kind in _HUBS and _REPOSITORY.fullmatch(where):
        source = Source(kind, where, revision or _HUBS[kind], endpoint, None, weights, adapter)
    elif kind == "s3" and where:
        source = Source("s3", text, "", endpoint, region, weights, adapter)
    else:
        raise SpecError(
            "BadSource",
            f"{text[:200]!r}: write hf://owner/name, ms://owner/name, s3://bucket/prefix, or "
            f"{COPIED} for files that are in the folder already",
        )
    if revision is not None and kind not in _HUBS:
        raise SpecError(
            "BadSource", f"--revision belongs to a hub, {text[:200]} is none: remove it"
        )
    if adapter and not weights:
        raise SpecError("BadSource", "--no-weights belongs to a model: remove it, or --adapter")
    return source
