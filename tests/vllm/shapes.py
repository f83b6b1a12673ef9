"""The shape of an HTTP answer, and where two of them differ.

A shape is what a client can rely on: status, content type, the keys at every level, the types of
the values, the words that stand for one of a few things, the text of an error with its numbers
left out. What a model says is no part of it.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Answer", "ask", "differences"]

_TIMEOUT = 60.0  # seconds

_WORDS = frozenset(
    {"object", "role", "type", "code", "param", "finish_reason", "owned_by", "index", "message"}
)
"""Keys whose values are compared, not only their types."""

_COUNTED = re.compile(r"\.(choices|data|permission)$|\.content\[\]\.top_logprobs$")
"""Lists whose length the request decides; tokenizers differ, and events may hold several tokens."""

_BY_TOKEN = re.compile(r"\.(top|prompt)_logprobs\[\]$")
"""Maps with tokens for keys."""

_HEADERS = ("content-type", "allow", "retry-after", "www-authenticate")


@dataclass(frozen=True)
class Answer:
    """What one server answered.

    Attributes:
        status: Of HTTP.
        closes: Whether the connection was closed behind the answer, without having said so.
        headers: Those that a client acts on.
        body: The parsed JSON, or the text where it is none.
        events: The parsed events of a stream, `[DONE]` as it is; none: no stream.
    """

    status: int
    closes: bool
    headers: dict[str, str]
    body: Any
    events: list[Any] | None


def ask(url: str, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer:
    """Send one request on a connection of its own, and read what a client makes of the answer."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=_TIMEOUT)
    connection.connect()
    connection.auto_open = 0  # a closed connection stays closed
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        text = response.read()
        given = {name: response.headers[name] for name in _HEADERS if name in response.headers}
        closes = _closed(connection)
    finally:
        connection.close()
    if given.get("content-type", "").startswith("text/event-stream"):
        return Answer(response.status, closes, given, None, list(_events(text.decode())))
    try:
        parsed = json.loads(text)
    except ValueError:
        parsed = text.decode()
    return Answer(response.status, closes, given, parsed, None)


def _closed(connection: http.client.HTTPConnection) -> bool:
    try:
        connection.request("GET", "/health")
        connection.getresponse().read()
    except (http.client.HTTPException, ConnectionError):
        return True
    return False


def differences(real: Answer, ours: Answer) -> list[str]:
    """Every place where ours has another shape than the real one, as `path: real, ours`."""
    found = []
    if real.status != ours.status:
        found.append(f"status: {real.status}, {ours.status}; {real.body}, {ours.body}")
    if real.closes != ours.closes:
        found.append(f"closes the connection: {real.closes}, {ours.closes}")
    if real.headers != ours.headers:
        found.append(f"headers: {real.headers}, {ours.headers}")
    if (real.events is None) != (ours.events is None):
        return [*found, f"stream: {real.events is not None}, {ours.events is not None}"]
    if real.events is None or ours.events is None:
        return [*found, *_compare("", real.body, ours.body)]
    return [*found, *_compare_events(real.events, ours.events)]


def _events(text: str) -> Iterator[Any]:
    """The events of a stream; anything but `data: …` and an empty line is a fault."""
    assert text.endswith("\n\n"), text[-200:]
    for event in text.removesuffix("\n\n").split("\n\n"):
        assert event.startswith("data: "), event
        assert "\n" not in event, event
        data = event.removeprefix("data: ")
        yield data if data == "[DONE]" else json.loads(data)


def _compare_events(real: list[Any], ours: list[Any]) -> list[str]:
    """Each choice begins, goes on and ends with the same kinds of events."""
    streams = _by_choice(real), _by_choice(ours)
    if streams[0].keys() != streams[1].keys():
        return [f"choices: {list(streams[0])}, {list(streams[1])}"]
    found = []
    for choice in streams[0]:
        parts = _parts(streams[0][choice]), _parts(streams[1][choice])
        for name, one in parts[0].items():
            if name in parts[1]:
                found += _compare(f"choice {choice}, {name} event", one, parts[1][name])
    if (real[-1] == "[DONE]") != (ours[-1] == "[DONE]"):
        found.append(f"last event: {real[-1]}, {ours[-1]}")
    return found


def _by_choice(events: list[Any]) -> dict[int | None, list[Any]]:
    """The events of each choice; those without one under None."""
    streams: dict[int | None, list[Any]] = {}
    for event in events:
        choices = event.get("choices") if isinstance(event, dict) else None
        streams.setdefault(choices[0]["index"] if choices else None, []).append(event)
    return dict(sorted(streams.items(), key=lambda item: (item[0] is None, item[0])))


def _parts(events: list[Any]) -> dict[str, Any]:
    """The first event, the last, and the second: a busy server puts many tokens into one event."""
    named = {"first": events[0], "last": events[-1]}
    return named if len(events) < 3 else {**named, "second": events[1]}


def _compare(path: str, real: Any, ours: Any) -> list[str]:
    kinds = _kind(real), _kind(ours)
    if kinds[0] != kinds[1]:
        return [f"{path}: {kinds[0]} ({real!r}), {kinds[1]} ({ours!r})"]
    if isinstance(real, dict):
        return _compare_maps(path, real, ours)
    if isinstance(real, list):
        return _compare_lists(path, real, ours)
    name = path.rpartition(".")[2]
    if isinstance(real, str):
        if name == "id":
            forms = _form(real), _form(ours)
            return [] if forms[0] == forms[1] else [f"{path}: {real}, {ours}"]
        if path.endswith("error.message"):
            texts = _without_numbers(real), _without_numbers(ours)
            return [] if texts[0] == texts[1] else [f"{path}: {texts[0]!r}, {texts[1]!r}"]
        if name == "" and real != ours:
            return [f"{path}: {real!r}, {ours!r}"]
    if name in _WORDS and real != ours:
        return [f"{path}: {real!r}, {ours!r}"]
    return []


def _compare_maps(path: str, real: dict[str, Any], ours: dict[str, Any]) -> list[str]:
    if _BY_TOKEN.search(path) and "logprob" not in real | ours:
        keys = {_key_form(key) for key in real}, {_key_form(key) for key in ours}
        found = [] if keys[0] == keys[1] else [f"{path}: keys {keys[0]}, {keys[1]}"]
        return found + _compare(f"{path}{{}}", next(iter(real.values())), next(iter(ours.values())))
    found = [f"{path}: lacks {key}" for key in real.keys() - ours.keys()]
    found += [f"{path}: has {key} too" for key in ours.keys() - real.keys()]
    for key in real.keys() & ours.keys():
        found += _compare(f"{path}.{key}", real[key], ours[key])
    return found


def _compare_lists(path: str, real: list[Any], ours: list[Any]) -> list[str]:
    name = path.rpartition(".")[2]
    if _COUNTED.search(path) and len(real) != len(ours):
        return [f"{path}: {len(real)} of them, {len(ours)}"]
    if bool(real) != bool(ours) and name != "bytes":
        return [f"{path}: {len(real)} of them, {len(ours)}"]
    if not real or not ours:
        return []
    # The first element may be another one than the rest, such as the null of prompt_logprobs.
    found = _compare(f"{path}[]", real[0], ours[0])
    if len(real) > 1 and len(ours) > 1:
        found += _compare(f"{path}[]", real[-1], ours[-1])
    kinds = {_kind(item) for item in real}, {_kind(item) for item in ours}
    return found if kinds[0] == kinds[1] else [*found, f"{path}: {kinds[0]}, {kinds[1]}"]


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, dict):
        return "object"
    return type(value).__name__


def _form(number: str) -> str:
    """An id with its hexadecimal digits left out."""
    return re.sub(r"[0-9a-f]{8,}", lambda found: f"<{len(found[0])} hex>", number)


def _key_form(token: str) -> str:
    return "token_id:N" if token.startswith("token_id:") else "text"


def _without_numbers(text: str) -> str:
    """An error's text; of a refused body only the fields, and what vLLM itself says of them."""
    _, marked, rest = text.partition("validation error")
    if marked:
        # What pydantic says of a field hangs on its version and on how a union is written.
        fields = set(re.findall(r"'loc': \('body'(?:, '?(\w+)'?)?", rest))
        own = set(re.findall(r"Value error, (.*?)[\"'], 'input'", rest))
        return f"{marked} of {sorted(fields - {'', 'function'})}: {sorted(own)}"
    return re.sub(r"-?\d+(\.\d+)?", "N", text)
