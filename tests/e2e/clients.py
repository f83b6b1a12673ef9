"""What clients are answered: one that asks once, and some that ask without a pause."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from e2e.space import Space

__all__ = ["assert_nothing_lost", "http_status", "streams"]

_STREAMS = 8

_LOAD = """
import json, sys, threading, urllib.request
url, model, key, tokens, streams = *sys.argv[1:4], int(sys.argv[4]), int(sys.argv[5])
over, one = threading.Event(), threading.Lock()
body = json.dumps({
    "model": model, "prompt": "Hello", "max_tokens": tokens, "stream": True, "ignore_eos": True,
    "temperature": 0, "stream_options": {"include_usage": True},
}).encode()
headers = {"Content-Type": "application/json", "Authorization": "Bearer " + key}
def tell(what):
    with one:
        print(what, flush=True)
def ask():
    while not over.is_set():
        try:
            request = urllib.request.Request(url, body, headers)
            with urllib.request.urlopen(request, timeout=60) as answer:
                lines = [line[6:].strip() for line in answer if line.startswith(b"data: ")]
            got = json.loads(lines[-2])["usage"]["completion_tokens"]
            whole = lines[-1] == b"[DONE]" and got == tokens
            tell("whole" if whole else f"cut: {lines[-1]}")
        except Exception as error:
            tell(repr(error))
threads = [threading.Thread(target=ask) for _ in range(streams)]
[thread.start() for thread in threads]
sys.stdin.read()
over.set()
[thread.join() for thread in threads]
"""


_ASK = """
import sys, time, urllib.request, urllib.error
url, key, awaited = sys.argv[1:]
until = time.monotonic() + 30
headers = {"Authorization": "Bearer " + key} if key else {}
while True:
    request = urllib.request.Request(url, headers=headers)
    try:
        status = urllib.request.urlopen(request, timeout=10).status
    except urllib.error.HTTPError as error:
        status = error.code
    if not awaited or status == int(awaited) or time.monotonic() > until:
        break
    time.sleep(0.1)
print(status)
"""


def http_status(space: Space, url: str, key: str = "", *, awaited: int | None = None) -> int:
    """The HTTP status that the client of the namespace gets for a GET.

    Args:
        space: The namespace.
        url: What is asked for.
        key: The API key; none where it is empty.
        awaited: Ask again for half a minute until this comes: a gateway hears of endpoints in its
            own time.
    """
    command = ("exec", "client", "--", "python3", "-c", _ASK, url, key, str(awaited or ""))
    return int(space.kubectl(*command))


@contextmanager
def streams(
    space: Space, model: str, *, server: str | None = None, key: str = "", tokens: int = 60
) -> Iterator[list[str]]:
    """Streams meanwhile, by the client of the namespace.

    When the context is left the list holds what became of each: "whole", or what was wrong.

    Args:
        space: The namespace.
        model: A resource's name.
        server: Host and port; unset: the resource's Service.
        key: The API key.
        tokens: Of an answer.
    """
    url = f"http://{server or f'{model}:8000'}/v1/completions"
    with space.client_script(_LOAD, url, model, key, str(tokens), str(_STREAMS)) as told:
        yield told


def assert_nothing_lost(told: list[str]) -> None:
    """Every token of every stream came."""
    assert set(told) == {"whole"}, [line for line in told if line != "whole"]
    assert len(told) > _STREAMS, "it was under load"
