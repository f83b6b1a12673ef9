"""A socket that doesn't block, with TLS where asked, and the moment at which bytes arrived.

The kernel stamps what it receives (SO_TIMESTAMPING, for TCP since Linux 4.14): that moment is
free of the time for which this process computed or waited for a core. Where there are no stamps
(other systems, sandboxes), the moment is that of reading, and how late it can be is kept.
"""

from __future__ import annotations

import errno
import platform
import socket
import ssl
import struct
import sys
import time
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["STAMPED", "Address", "Arrival", "Clock", "Wire"]

READ_BYTES = 16 * 1024
"""At once: 64 KB at once cost an allocation that is mapped anew each time."""

AT_ONCE = 50e-6
"""Seconds: a selector that answers sooner found something that had been waiting."""

STAMPED = -1.0
"""No lateness: the moment is the kernel's."""

_SO_TIMESTAMPING = 37
_RX_SOFTWARE, _SOFTWARE = 1 << 3, 1 << 4
_STAMP = struct.Struct("@qq")
_STAMPED = sys.platform == "linux" and platform.machine() in ("x86_64", "aarch64")
_ANCILLARY_BYTES = 128


@dataclass(frozen=True, slots=True)
class Address:
    """Where to connect: a family and an address as `getaddrinfo` gives them."""

    family: int
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Clock:
    """When this pass of the loop began, and since when what it found may have been waiting."""

    __slots__ = ("_asked", "earlier", "late", "now", "real")

    def __init__(self) -> None:
        self.real = time.time_ns()
        self.now = self.earlier = self._asked = time.monotonic()
        self.late = 0.0
        """How long what is readable now may have been so."""

    def ask(self) -> None:
        """The selector is asked now."""
        self._asked = time.monotonic()

    def tick(self) -> None:
        """The selector has answered: another pass begins."""
        self.earlier = self.now
        self.real = time.time_ns()
        self.now = time.monotonic()
        at_once = self.now - self._asked < AT_ONCE
        self.late = self._asked - self.earlier if at_once else 0.0


class Arrival(NamedTuple):
    """Bytes that came.

    Attributes:
        data: Empty where there is nothing for us (TLS's own messages); None at the end.
        moment: In seconds of CLOCK_MONOTONIC.
        late: How late that moment can be; `STAMPED` with a stamp of the kernel's.
    """

    data: bytes | None
    moment: float
    late: float


class Wire:
    """One connection.

    Args:
        address: Where to.
        tls: The settings of TLS; None without.
        hostname: Whose certificate is wanted.

    Raises:
        OSError: No socket can be made, or the connection is refused at once.
    """

    def __init__(self, address: Address, tls: ssl.SSLContext | None, hostname: str) -> None:
        self.began = time.monotonic()
        self.opened = 0.0
        """When it was open, TLS included; 0 before."""
        self._connected = False
        self._out = b""
        self.socket = socket.socket(address.family, socket.SOCK_STREAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._stamped = _STAMPED and self._ask_for_stamps()
            code = self.socket.connect_ex((address.host, address.port))
            if code not in (0, errno.EINPROGRESS):
                raise OSError(code, errno.errorcode.get(code, "refused"))
        except BaseException:
            self.socket.close()
            raise
        self._tls: ssl.SSLObject | None = None
        if tls is not None:
            self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
            self._tls = tls.wrap_bio(self._incoming, self._outgoing, server_hostname=hostname)

    @property
    def wants_write(self) -> bool:
        """Whether it waits for the socket to be writable."""
        return not self._connected or bool(self._out)

    def close(self) -> None:
        """Without a word to the other side."""
        self.socket.close()

    def advance(self) -> bool:
        """Go on with opening it; True once it is open.

        Raises:
            OSError: Refused; ssl.SSLError is one, too.
        """
        if not self._connected:
            code = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                raise OSError(code, errno.errorcode.get(code, str(code)))
            self._connected = True
        if self._tls is not None and not self._shake(self._tls):
            return False
        self.opened = time.monotonic()
        return True

    def ended(self) -> bool:
        """Whether the other side has closed it, as far as this machine knows."""
        try:
            return not self.socket.recv(1, socket.MSG_PEEK)
        except (BlockingIOError, InterruptedError):
            return False
        except OSError:
            return True

    def send(self, data: bytes) -> tuple[float, float]:
        """Send, as much as goes in one write; returns the moments right before and after it.

        Raises:
            OSError: The connection is gone.
        """
        if self._tls is not None:
            self._tls.write(data)
            data = self._outgoing.read()
        start = time.monotonic()
        self._out = data
        self.flush()
        return start, time.monotonic()

    def flush(self) -> None:
        """Send on what did not fit into the socket's buffer.

        Raises:
            OSError: The connection is gone.
        """
        try:
            sent = self.socket.send(self._out)
        except (BlockingIOError, InterruptedError):
            return
        self._out = self._out[sent:]

    def receive(self, clock: Clock) -> Arrival:
        """What is there, up to `READ_BYTES`.

        Raises:
            OSError: The connection broke.
        """
        try:
            data, moment, late = self._read(clock)
        except (BlockingIOError, InterruptedError):
            return Arrival(b"", clock.now, STAMPED)
        if not data:
            return Arrival(None, moment, late)
        if self._tls is None:
            return Arrival(data, moment, late)
        return Arrival(self._deciphered(data, self._tls), moment, late)

    def _read(self, clock: Clock) -> tuple[bytes, float, float]:
        if not self._stamped:
            return self.socket.recv(READ_BYTES), clock.now, clock.late
        data, ancillary, _, _ = self.socket.recvmsg(READ_BYTES, _ANCILLARY_BYTES)
        for level, kind, value in ancillary:
            if level == socket.SOL_SOCKET and kind == _SO_TIMESTAMPING:
                seconds, nanoseconds = _STAMP.unpack_from(value)
                if seconds:
                    ago = (clock.real - seconds * 1_000_000_000 - nanoseconds) / 1e9
                    # Bounded, so that a step of the wall clock can do no harm.
                    return data, max(clock.earlier, min(clock.now, clock.now - ago)), STAMPED
        return data, clock.now, clock.late if data else STAMPED

    def _shake(self, tls: ssl.SSLObject) -> bool:
        try:
            if received := self.socket.recv(READ_BYTES):
                self._incoming.write(received)
            else:
                self._incoming.write_eof()
        except (BlockingIOError, InterruptedError):
            pass
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            self._send_out()
            return False
        self._send_out()
        return True

    def _send_out(self) -> None:
        if self._outgoing.pending:
            self._out += self._outgoing.read()
        if self._out:
            self.flush()

    def _deciphered(self, data: bytes, tls: ssl.SSLObject) -> bytes | None:
        """What the records say; None where the other side has closed."""
        self._incoming.write(data)
        parts: list[bytes] = []
        try:
            while part := tls.read(READ_BYTES):
                parts.append(part)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            if not parts:
                return None
        self._send_out()
        return b"".join(parts)

    def _ask_for_stamps(self) -> bool:
        try:
            self.socket.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPING, _RX_SOFTWARE | _SOFTWARE)
        except OSError:
            return False
        return True
