"""The servers that models come from: one module each, by the server's own client.

A client is imported only when it is spoken through, since the images hold what they need.
"""

from __future__ import annotations

from collections.abc import Mapping

from ascendllm.download.source import Source
from ascendllm.download.sources.remote import Remote
from ascendllm.exceptions import DownloadError

__all__ = ["Remote", "open_remote"]


def open_remote(source: Source, environment: Mapping[str, str]) -> Remote:
    """Prepare to speak to a source's server; nothing is asked yet.

    Args:
        source: Where the model is.
        environment: Where tokens and keys are: HF_TOKEN, MODELSCOPE_API_TOKEN, AWS_ACCESS_KEY_ID,
            AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN.

    Raises:
        DownloadError: `NoClient`: a package is missing; `BadCredentials`.
        SpecError: `BadData`: an address of S3 cannot be read.
    """
    try:
        if source.kind == "hf":
            from ascendllm.download.sources.hugging_face import HuggingFace

            return HuggingFace(source, environment.get("HF_TOKEN") or None)
        if source.kind == "ms":
            from ascendllm.download.sources.model_scope import ModelScope

            return ModelScope(source, environment.get("MODELSCOPE_API_TOKEN") or None)
        from ascendllm.download.sources.s3_store import S3Store

        return S3Store(source, environment)
    except ImportError as error:
        raise DownloadError(
            "NoClient", f"{source}: {error}: install ascendllm[download]"
        ) from error
