"""HTTP/1.1 responses, cut strictly: what is malformed ends the check, it is never guessed at."""

from __future__ import annotations

import re

from ascendllm.exceptions import CheckError

__all__ = ["ResponseReader"]

HEAD_BYTES = 64 * 1024
CHUNK_BYTES = 16 * 1024 * 1024
_STATUS = re.compile(rb"HTTP/1\.([01]) ([1-5]\d\d)(?: [^\r\n]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[ \t]*(?:;[^\r\n]*)?")


class ResponseReader:
    """The responses of one connection, one after the other.

    Args:
        what: The request, for messages.
    """

    __slots__ = ("_chunk", "_chunked", "_head", "_left", "_rest", "_what", "done", "keep", "status")

    def __init__(self, what: str) -> None:
        self._what = what
        self.begin(what)

    def begin(self, what: str) -> None:
        """Expect the response to another request."""
        self._what = what
        self.status = 0
        """0 while the head isn't complete."""
        self.done = False
        self.keep = True
        """Whether the connection may be used again."""
        self._rest = b""
        self._head = True
        self._chunked = False
        self._left: int | None = None
        """Bytes of the body that are still to come; None: up to the connection's end."""
        self._chunk = 0
        """Bytes of the chunk that are still to come, its CRLF included."""

    def feed(self, data: bytes) -> list[bytes]:
        """Read on; returns the body's pieces.

        Raises:
            CheckError: `BadAnswer`.
        """
        if self.done:
            raise self._bad("more than one answer came to one request")
        if not self._head and self._chunked and not self._rest and not self._chunk:
            # Nearly always a segment is one whole chunk.
            end = data.find(b"\r\n", 0, 32)
            if end > 0 and (match := _SIZE.fullmatch(data, 0, end)):
                size = int(match[1], 16)
                if 0 < size == len(data) - end - 4 and data.endswith(b"\r\n"):
                    return [data[end + 2 : -2]]
        self._rest += data
        pieces: list[bytes] = []
        while not self.done and self._step(pieces):
            pass
        if self.done and self._rest:
            raise self._bad("more than one answer came to one request")
        return pieces

    def eof(self) -> bool:
        """The connection has ended; returns whether the response was complete with that."""
        if not self._head and not self._chunked and self._left is None:
            self.done = True
        self.keep = False
        return self.done

    def _step(self, pieces: list[bytes]) -> bool:
        """Take one thing off the rest; False where more must come first."""
        if self._head:
            return self._read_head()
        if self._chunked:
            return self._read_chunk(pieces)
        piece, self._rest = self._rest, b""
        if self._left is not None:
            if len(piece) > self._left:
                piece, self._rest = piece[: self._left], piece[self._left :]
            self._left -= len(piece)
            self.done = self._left == 0
        if piece:
            pieces.append(piece)
        return False

    def _read_head(self) -> bool:
        end = self._rest.find(b"\r\n\r\n")
        if end < 0 or end > HEAD_BYTES:
            if len(self._rest) > HEAD_BYTES:
                raise self._bad(f"the head is longer than {HEAD_BYTES} bytes")
            if self._rest and not b"HTTP/1.".startswith(self._rest[:7]):
                raise self._bad(f"it is no HTTP/1.1: {self._rest[:60]!r}")
            return False
        lines, self._rest = self._rest[:end].split(b"\r\n"), self._rest[end + 4 :]
        first = _STATUS.fullmatch(lines[0])
        if not first:
            raise self._bad(f"it is no HTTP/1.1: {lines[0][:60]!r}")
        status = int(first[2])
        if status < 200:
            if status == 101:
                raise self._bad("it switches to another protocol")
            return True
        self.status, self._head = status, False
        self._read_headers(lines[1:], first[1] == b"1")
        return True

    def _read_headers(self, lines: list[bytes], persistent: bool) -> None:
        headers: dict[bytes, bytes] = {}
        for line in lines:
            match = _HEADER.fullmatch(line)
            if not match:
                raise self._bad(f"a header is malformed: {line[:60]!r}")
            name, value = match[1].lower(), match[2]
            if name in headers and name in (b"content-length", b"transfer-encoding"):
                raise self._bad(f"it has two headers {name.decode()}")
            headers[name] = value
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise self._bad("it is compressed, though that was not asked for")
        options = headers.get(b"connection", b"").lower()
        self.keep = b"close" not in options and (persistent or b"keep-alive" in options)
        coding, length = headers.get(b"transfer-encoding"), headers.get(b"content-length")
        if self.status in (204, 304):
            self._left, self.done = 0, True
        elif coding is not None:
            if coding.lower() != b"chunked" or length is not None:
                raise self._bad(f"its transfer-encoding is {coding[:40]!r}")
            self._chunked = True
        elif length is not None:
            if not length.isdigit() or len(length) > 12:
                raise self._bad(f"its content-length is {length[:40]!r}")
            self._left = int(length)
            self.done = self._left == 0
        else:
            self._left, self.keep = None, False

    def _read_chunk(self, pieces: list[bytes]) -> bool:
        rest = self._rest
        if self._chunk:
            piece = rest[: max(0, min(len(rest), self._chunk - 2))]
            if len(piece) < self._chunk - 2:
                if piece:
                    pieces.append(piece)
                self._chunk -= len(piece)
                self._rest = rest[len(piece) :]
                return False
            tail = rest[len(piece) : self._chunk]
            if not b"\r\n".startswith(tail):
                raise self._bad("a chunk doesn't end where its size says")
            if len(tail) < 2:
                if piece:
                    pieces.append(piece)
                self._chunk, self._rest = 2, tail
                return False
            if piece:
                pieces.append(piece)
            self._chunk, self._rest = 0, rest[len(piece) + 2 :]
            return True
        end = rest.find(b"\r\n")
        if end < 0:
            if len(rest) > 1024:
                raise self._bad("a chunk's size has no end")
            return False
        match = _SIZE.fullmatch(rest, 0, end)
        if not match:
            raise self._bad(f"a chunk's size is {rest[: min(end, 40)]!r}")
        size = int(match[1], 16)
        if size > CHUNK_BYTES:
            raise self._bad(f"a chunk is longer than {CHUNK_BYTES} bytes")
        if size:
            self._chunk, self._rest = size + 2, rest[end + 2 :]
            return True
        return self._read_trailer(end + 2)

    def _read_trailer(self, start: int) -> bool:
        """The end of a chunked body: an empty line, perhaps after trailing headers."""
        rest = self._rest
        if rest.startswith(b"\r\n", start):
            self._rest, self.done = rest[start + 2 :], True
            return True
        end = rest.find(b"\r\n\r\n", start)
        if end < 0:
            if len(rest) - start > HEAD_BYTES:
                raise self._bad(f"the trailer is longer than {HEAD_BYTES} bytes")
            return False
        self._rest, self.done = rest[end + 4 :], True
        return True

    def _bad(self, why: str) -> CheckError:
        return CheckError("BadAnswer", f"{self._what}: {why}")
