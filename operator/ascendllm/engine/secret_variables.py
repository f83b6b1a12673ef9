"""Variables of `spec.runtime.env` that hold a secret, by their names.

The pattern is narrower than those of `checks.evals.harness` and `report.sections.serving`. These
keep variables back, where one too many does no harm; a false warning does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from ascendllm.api.key_rules import API_KEY_VARIABLE

__all__ = ["secret_remarks"]

_SECRET = re.compile(
    r"(?:(KEY|TOKEN)|API_?KEYS|(?:SECRET|PASSWORD|PASSWD|CREDENTIAL)S?)\d*(?=_|$)", re.IGNORECASE
)
"""A word that ends so. Not so TOKENIZERS_PARALLELISM, MAX_NUM_BATCHED_TOKENS, CACHE_KEYS."""

_NO_SECRET = re.compile(
    r"GOOGLE_APPLICATION_CREDENTIALS|.*_(?:FILE|PATH|DIR|NAME|TYPE|DTYPE|URL|URI|ENDPOINT)",
    re.IGNORECASE,
)
"""Variables that say where a secret is, or what is known of it."""

_SWITCHES = frozenset({"", "0", "1", "true", "false", "yes", "no", "on", "off", "none"})
_NUMBER = re.compile(r"[0-9.]{1,7}")
"""Too short for a key; EOS_TOKEN_ID and MAX_TOKEN_LEN are such numbers."""

_HUBS = ("HF_", "HUGGING", "MODELSCOPE_")
_STORES = ("AWS_", "S3_")


def secret_remarks(env: Mapping[str, str]) -> Iterator[str]:
    """A warning for each variable that holds a secret; no warning shows a value.

    Args:
        env: The variables.
    """
    for name, value in sorted(env.items()):
        if _holds_secret(name, value):
            yield (
                f"spec.runtime.env {name}: everybody who may read this resource can read the "
                f"value: {_remedy(name.upper())}"
            )


def _holds_secret(name: str, value: str) -> bool:
    found = _SECRET.search(name)
    if found is None or _NO_SECRET.fullmatch(name) or value.strip().lower() in _SWITCHES:
        return False
    return found[1] is None or _NUMBER.fullmatch(value) is None


def _remedy(name: str) -> str:
    if name == API_KEY_VARIABLE:
        return (
            "put the key into a Secret, name that in spec.service.apiKeySecret, and remove the "
            "variable"
        )
    if name.startswith(_HUBS):
        return (
            "serving pods fetch nothing, so remove it; a download takes its token from the Secret "
            "that tokenSecret of its source names"
        )
    if name.startswith(_STORES):
        return (
            "serving pods fetch nothing, so remove it; a download takes its keys from the Secret "
            "that credentialsSecret of its source names"
        )
    return "remove it, or let the server read it from a file in its image or beside the model"
