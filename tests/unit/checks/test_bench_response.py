from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.checks.bench.load.response import ResponseReader
from ascendllm.exceptions import CheckError

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(*segments: bytes) -> tuple[ResponseReader, bytes]:
    reader = ResponseReader("POST")
    body = b"".join(piece for segment in segments for piece in reader.feed(segment))
    return reader, body


@given(
    st.lists(st.binary(min_size=1, max_size=40), max_size=5),
    st.lists(st.integers(1, 30), max_size=60),
    st.sampled_from([b"", b";a=b", b" "]),
    st.sampled_from([b"", b"X-Sum: 1\r\n"]),
)
def test_chunks_split_anywhere(
    chunks: list[bytes], steps: list[int], extension: bytes, trailer: bytes
) -> None:
    raw = CHUNKED + b"".join(b"%x%s\r\n%s\r\n" % (len(c), extension, c) for c in chunks)
    raw += b"0\r\n" + trailer + b"\r\n"
    segments = []
    for step in steps:
        segments.append(raw[:step])
        raw = raw[step:]
    reader, body = read(*filter(None, [*segments, raw]))
    assert body == b"".join(chunks)
    assert (reader.done, reader.keep, reader.status) == (True, True, 200)


def test_one_chunk_a_segment() -> None:
    reader, body = read(CHUNKED, b"3\r\nabc\r\n", b"2\r\nde\r\n", b"0\r\n\r\n")
    assert (reader.done, body) == (True, b"abcde")


@given(st.lists(st.integers(1, 20), max_size=20))
def test_a_length(steps: list[int]) -> None:
    raw = b"HTTP/1.1 429 Too Many Requests\r\nContent-Length: 5\r\nConnection: close\r\n\r\nhello"
    segments = []
    for step in steps:
        segments.append(raw[:step])
        raw = raw[step:]
    reader, body = read(*filter(None, [*segments, raw]))
    assert (reader.status, reader.done, reader.keep, body) == (429, True, False, b"hello")


def test_a_body_up_to_the_end() -> None:
    reader, body = read(b"HTTP/1.0 200 OK\r\n\r\nab", b"cd")
    assert (reader.done, body) == (False, b"abcd")
    assert reader.eof()
    assert (reader.done, reader.keep) == (True, False)


def test_a_chunked_body_is_not_ended_by_the_connection() -> None:
    reader, _ = read(CHUNKED, b"3\r\nabc\r\n")
    assert not reader.eof()


def test_one_after_the_other() -> None:
    reader, _ = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert (reader.status, reader.done, reader.keep) == (204, True, True)
    reader.begin("GET")
    assert reader.feed(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx") == [b"x"]
    assert reader.done


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-x",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 1\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy",
        CHUNKED + b"0x3\r\nabc\r\n",
        CHUNKED + b"+3\r\nabc\r\n",
        CHUNKED + b"1_0\r\n",
        CHUNKED + b"3\r\nabcd\r\n",
        CHUNKED + b"3\r\nabc\n\n",
        CHUNKED + b"ffffffff\r\n",
        CHUNKED + b"z\r\n",
        CHUNKED + b"0\r\n\r\nHTTP/1.1 200 OK\r\n",
        CHUNKED + b"1" * 2000,
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000,
    ],
)
def test_what_is_malformed_is_not_guessed_at(raw: bytes) -> None:
    for segments in ([raw], [raw[i : i + 7] for i in range(0, len(raw), 7)]):
        with pytest.raises(CheckError) as caught:
            read(*segments)
        assert caught.value.reason == "BadAnswer"
