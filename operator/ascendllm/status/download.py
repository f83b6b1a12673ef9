"""`status.download`: how far the model is on its way to the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ascendllm.decide.download import Download
from ascendllm.status.text import shortened

__all__ = ["download_status"]

_TEXT = 200
_LARGEST = 2**53


def download_status(downloads: Sequence[Download]) -> dict[str, Any] | None:
    """Of the model itself; None where that is not downloaded, or nothing is known yet."""
    model = next((item for item in downloads if item.cached.adapter is None), None)
    if model is None or model.record is None:
        return None
    cached, record = model.cached, model.record
    told = record.result if record.complete else record.progress
    done = _number(told.get("bytes"))
    total = done if record.complete else _number(told.get("totalBytes"))
    shown: dict[str, Any] = {
        "source": _source(cached.described),
        "cache": cached.name,
        "claim": cached.claim,
        "revision": _text(told.get("revision")),
        "bytes": done,
        "totalBytes": total,
        "files": _number(told.get("files")),
    }
    if record.complete:
        shown |= {"percent": 100, "digest": _text(told.get("digest"))}
        shown |= {"finishedAt": _text(told.get("finishedAt"))}
    elif total:
        shown |= {
            "percent": min(100, 100 * (done or 0) // total),
            "totalFiles": _number(told.get("totalFiles")),
            "ratePerSecond": _number(told.get("ratePerSecond")),
            "etaSeconds": _number(told.get("etaSeconds")),
        }
    return {key: value for key, value in shown.items() if value is not None}


def _source(identity: Mapping[str, Any]) -> str:
    """In a line, such as huggingFace org/name@main."""
    ((kind, fields),) = identity.items()
    where = fields.get("repo") or fields.get("uri") or fields.get("image")
    revision = f"@{fields['revision']}" if "revision" in fields else ""
    return shortened(f"{kind} {where}{revision}", _TEXT)


def _text(value: Any) -> str | None:
    return shortened(value, _TEXT) if isinstance(value, str) and value else None


def _number(value: Any) -> int | None:
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
    return value if is_one else None
