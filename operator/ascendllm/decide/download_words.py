"""What is said of a download that is under way, or that does not get under way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ascendllm.desired.cache import CachedModel
from ascendllm.state.caches import Filling
from ascendllm.state.observed import Object
from ascendllm.state.pods import Stage

__all__ = ["held_up_stage", "progress_words"]


def held_up_stage(cached: CachedModel, cause: str, claim: Object) -> tuple[Stage, bool]:
    """What keeps a download's pod from running, and whether somebody must act.

    Args:
        cached: What is downloaded.
        cause: In the kubelet's or the scheduler's words.
        claim: The claim.
    """
    lowered = cause.lower()
    if "secret" in lowered and ("not found" in lowered or "couldn't find key" in lowered):
        return Stage(
            "SecretMissing",
            f"{cause}: make the Secret that {cached.field}.source names, with that key; the "
            "download then begins by itself",
        ), True
    phase = (claim.get("status") or {}).get("phase")
    if phase != "Bound":
        about = claim["spec"]
        return Stage(
            "ClaimNotBound",
            f"claim {cached.claim} is {phase or 'Pending'} ("
            f"{about.get('storageClassName') or 'no storage class'}, "
            f"{', '.join(about.get('accessModes') or [])}): {cause}: look at its events; set "
            f"{cached.field}.cache.storageClassName to a class that offers this, or accessMode to "
            "ReadWriteOnce for storage of one node, or give a claimName",
        ), False
    return Stage(
        "DownloadHeldUp",
        f"{cause}; see imageRepository and downloaderImage in ConfigMap ascendllm-operator",
    ), False


def progress_words(kind: str, progress: Mapping[str, Any], job: Filling) -> str:
    """How far a download is, such as `3.2 GB of 16.0 GB (20 %), 210.0 MB/s, 61 s left`.

    Args:
        kind: What is downloaded: `model` or `adapter`.
        progress: What the job wrote of it.
        job: The job.
    """
    if job.copying:
        return f"copying the {kind} out of its image"
    total, done = _number(progress, "totalBytes"), _number(progress, "bytes")
    if not job.running or not total:
        return "looking at what there is" if job.running else "starting the download"
    words = f"{_bytes(done)} of {_bytes(total)} ({100 * done // total} %)"
    rate = _number(progress, "ratePerSecond")
    if rate:
        words += f", {_bytes(rate)}/s"
    if done < total and "etaSeconds" in progress:
        words += f", {_number(progress, 'etaSeconds')} s left"
    return words


def _number(values: Mapping[str, Any], key: str) -> int:
    value = values.get(key)
    return value if isinstance(value, int) and 0 <= value < 2**53 else 0


def _bytes(count: int) -> str:
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count / 1e3:.1f} kB"
