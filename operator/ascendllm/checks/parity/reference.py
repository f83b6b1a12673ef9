"""The reference: what a trusted server, or transformers, said; as a file of JSON lines.

The first line is the header `{"format", "version", "sha256", "meta", "control"?}`, the hash being
over everything else. Then one line a prompt, `{"id", "prompt_text", "text_token_ids"?,
"prompt_token_ids", "output_token_ids", "output_logprobs", "top_logprobs"}`, and one a window of
plain text, `{"id", "text", "token_ids", "logprobs"}`. Log-probabilities are those of one pass over
the whole sequence (teacher-forced), in nat, and `null` for a window's first token; `top_logprobs`
holds `[[token id, log-probability], …]` for each output token, the likeliest first.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, cast

from ascendllm.checks.result import compact_json, is_number
from ascendllm.exceptions import SpecError

__all__ = [
    "LONGEST",
    "TOP",
    "PromptRecord",
    "Reference",
    "TextRecord",
    "read_reference",
    "to_text",
]

FORMAT = "ascendllm-parity"
VERSION = 1
TOP = 5
"""How many of the likeliest tokens are recorded at each output token."""

LONGEST = 1024
"""The most tokens of a sequence: all its positions' logits are held at once, six bytes for each
token of the vocabulary (vllm#5907)."""

REFERENCE_BYTES = 64 * 1024 * 1024
MOST_LINES = 10_000
_CLAMPED = -9999.0


@dataclass(frozen=True, slots=True)
class PromptRecord:
    """One prompt and its greedy answer.

    Args:
        id: Its name.
        text: What is asked; of a chat the last message.
        text_token_ids: `text` tokenized by itself: whoever tokenizes it otherwise has another
            tokenizer. A chat's template may hold the date, so its ids are not compared.
        prompt_token_ids: What the model is given.
        output_token_ids: What it wrote.
        output_logprobs: Of each output token, in nat.
        top: For each output token the likeliest tokens, `(id, logprob)`.
    """

    id: str
    text: str
    text_token_ids: tuple[int, ...]
    prompt_token_ids: tuple[int, ...]
    output_token_ids: tuple[int, ...]
    output_logprobs: tuple[float, ...]
    top: tuple[tuple[tuple[int, float], ...], ...]

    def gap(self, position: int) -> float:
        """How much likelier the token is than any other one there; negative where it is not.

        At the end of a shorter answer there is no token: then the gap can't be told and is 0.
        """
        if position >= len(self.output_token_ids):
            return 0.0
        token = self.output_token_ids[position]
        others = [value for other, value in self.top[position] if other != token]
        return self.output_logprobs[position] - max(others) if others else 0.0


@dataclass(frozen=True, slots=True)
class TextRecord:
    """A window of plain text; the first token has no log-probability."""

    id: str
    text: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """A whole reference.

    Args:
        meta: model, engine, dtype, device, maxTokens, recordedAt, harness, as texts and numbers.
        prompts: At least one.
        texts: Windows for the perplexity.
        control: Figures of a second run on the same server against this one; None without one.
        digest: `sha256:` and the hash.
    """

    meta: Mapping[str, object]
    prompts: tuple[PromptRecord, ...]
    texts: tuple[TextRecord, ...]
    control: Mapping[str, object] | None
    digest: str = ""

    @property
    def longest(self) -> int:
        """Tokens of the longest sequence."""
        prompts = [len(p.prompt_token_ids) + len(p.output_token_ids) for p in self.prompts]
        return max(prompts + [len(text.token_ids) for text in self.texts])


def to_text(reference: Reference) -> str:
    """The file's text, with a fresh hash."""
    lines = [compact_json(_prompt_json(prompt)) for prompt in reference.prompts]
    lines += [compact_json(_text_json(text)) for text in reference.texts]
    header = _header(reference.meta, reference.control)
    header["sha256"] = _digest(header, lines)
    return "\n".join([compact_json(header), *lines]) + "\n"


def read_reference(path: Path) -> Reference:
    """Read a reference, and make sure that it is whole.

    Raises:
        SpecError: `BadReference`, naming the line and what is wrong with it.
    """
    text = _read(path)
    first, *lines = text.rstrip("\n").split("\n")
    if len(lines) > MOST_LINES:
        raise _bad(f"{len(lines)} lines, more than {MOST_LINES}")
    header = _object(first, 1)
    if header.get("format") != FORMAT:
        raise _bad("its first line is no header of `ascendllm parity record`")
    if header.get("version") != VERSION:
        raise _bad(f"version {header.get('version')!r:.40}, this command reads {VERSION}")
    meta, control = header.get("meta"), header.get("control")
    if not isinstance(meta, dict) or not isinstance(control, dict | None):
        raise _bad("its header lacks meta, or control is no object")
    digest = _digest(_header(meta, control), lines)
    if header.get("sha256") != digest:
        raise _bad("its hash is another: it was changed or cut after it was recorded")
    prompts: list[PromptRecord] = []
    texts: list[TextRecord] = []
    for number, line in enumerate(lines, 2):
        data = _object(line, number)
        if "prompt_token_ids" in data:
            prompts.append(_read_prompt(data, number))
        else:
            texts.append(_read_text(data, number))
    if not prompts or not any(prompt.output_token_ids for prompt in prompts):
        raise _bad("it holds no prompt with an answer")
    return Reference(meta, tuple(prompts), tuple(texts), control, f"sha256:{digest}")


def _header(meta: Mapping[str, object], control: Mapping[str, object] | None) -> dict[str, object]:
    header: dict[str, object] = {"format": FORMAT, "version": VERSION, "meta": dict(meta)}
    return header if control is None else header | {"control": dict(control)}


def _digest(header: Mapping[str, object], lines: Sequence[str]) -> str:
    bare = json.dumps(header, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256("\n".join([bare, *lines]).encode("utf-8", "replace")).hexdigest()


def _prompt_json(prompt: PromptRecord) -> dict[str, object]:
    data: dict[str, object] = {"id": prompt.id, "prompt_text": prompt.text}
    if prompt.text_token_ids != prompt.prompt_token_ids:
        data["text_token_ids"] = prompt.text_token_ids
    return data | {
        "prompt_token_ids": prompt.prompt_token_ids,
        "output_token_ids": prompt.output_token_ids,
        "output_logprobs": [_short(value) for value in prompt.output_logprobs],
        "top_logprobs": [[[t, _short(v)] for t, v in top] for top in prompt.top],
    }


def _text_json(text: TextRecord) -> dict[str, object]:
    return {
        "id": text.id,
        "text": text.text,
        "token_ids": text.token_ids,
        "logprobs": [None, *(_short(value) for value in text.logprobs)],
    }


def _short(value: float) -> float:
    """Six decimals: a float32 holds no more of a log-probability."""
    return round(value, 6) + 0.0


def _read_prompt(data: Mapping[str, object], line: int) -> PromptRecord:
    ids = _ids(data, "prompt_token_ids", line)
    output = _ids(data, "output_token_ids", line)
    values = _logprobs(data.get("output_logprobs"), "output_logprobs", line)
    tops = data.get("top_logprobs")
    if not isinstance(tops, list) or not len(tops) == len(values) == len(output):
        raise _bad("output_token_ids, output_logprobs and top_logprobs differ in length", line)
    return PromptRecord(
        _text(data, "id", line),
        _text(data, "prompt_text", line),
        _ids(data, "text_token_ids", line) if "text_token_ids" in data else ids,
        ids,
        output,
        values,
        tuple(_top(top, line) for top in tops),
    )


def _read_text(data: Mapping[str, object], line: int) -> TextRecord:
    ids = _ids(data, "token_ids", line)
    given = data.get("logprobs")
    if not isinstance(given, list) or len(given) != len(ids) or given[:1] != [None]:
        raise _bad("logprobs is no list beginning with null, one for each token", line)
    values = _logprobs(given[1:], "logprobs", line)
    return TextRecord(_text(data, "id", line), _text(data, "text", line), ids, values)


def _top(value: object, line: int) -> tuple[tuple[int, float], ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= 20:
        raise _bad("a list of top_logprobs is empty or longer than 20", line)
    pairs = []
    for pair in value:
        if not (isinstance(pair, list) and len(pair) == 2 and _is_id(pair[0])):
            raise _bad("top_logprobs holds no [token id, log-probability]", line)
        pairs.append((cast(int, pair[0]), _logprobs([pair[1]], "top_logprobs", line)[0]))
    return tuple(pairs)


def _ids(data: Mapping[str, object], key: str, line: int) -> tuple[int, ...]:
    value = data.get(key)
    if not isinstance(value, list) or not all(_is_id(token) for token in value):
        raise _bad(f"{key} is no list of token ids", line)
    if len(value) > LONGEST or (not value and key != "output_token_ids"):
        raise _bad(f"{key} has {len(value)} tokens; from 1 to {LONGEST} are read", line)
    return tuple(value)


def _is_id(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**31


def _logprobs(value: object, key: str, line: int) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise _bad(f"{key} is no list", line)
    for item in value:
        if not is_number(item) or not _CLAMPED < cast(float, item) < 1e-3:
            raise _bad(f"{key} holds {item!r:.40}, which is no log-probability", line)
    return tuple(float(item) for item in value)


def _text(data: Mapping[str, object], key: str, line: int) -> str:
    value = data.get(key)
    if not isinstance(value, str):
        raise _bad(f"{key} is no text", line)
    return value


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            raw = file.read(REFERENCE_BYTES + 1)
        if len(raw) > REFERENCE_BYTES:
            raise OSError(f"longer than {REFERENCE_BYTES} bytes")
        return raw.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _bad(f"{path}: {error}") from None


def _object(line: str, number: int) -> dict[str, Any]:
    try:
        data = json.loads(line, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _bad("not a JSON object", number)
    return data


def _no_constant(name: str) -> NoReturn:
    raise ValueError(name)


def _bad(why: str, line: int | None = None) -> SpecError:
    where = "" if line is None else f" line {line}:"
    return SpecError(
        "BadReference", f"--reference:{where} {why}; record it anew with `ascendllm parity record`"
    )
