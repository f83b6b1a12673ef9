"""Texts of bounded size: a status is kept in etcd and sent to every watcher at each change."""

from __future__ import annotations

__all__ = ["shortened"]


def shortened(text: str, size: int) -> str:
    """The text, or its beginning with an ellipsis, in at most `size` bytes of UTF-8."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= size:
        return encoded.decode()
    return encoded[: size - len("…".encode())].decode(errors="ignore") + "…"
