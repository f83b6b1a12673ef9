"""The keys that requests are signed with: read from the environment, never shown."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ascendllm.exceptions import SpecError

__all__ = ["Credentials", "read_credentials"]

_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A key pair, and the token of a temporary one; never shown."""

    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    token: str | None = field(default=None, repr=False)

    def redacted(self, text: str) -> str:
        """A text without them: servers quote the key's name, and what they calculated with."""
        for secret in (self.secret_key, self.token, self.access_key):
            if secret:
                text = text.replace(secret, "***")
        return text


def read_credentials(environment: Mapping[str, str]) -> Credentials | None:
    """The keys that are set; None for anonymous access.

    Raises:
        SpecError: `BadCredentials`: only one of the two is set, or one holds what no header can.
    """
    access, secret, token = (environment.get(name, "").strip() for name in _VARIABLES)
    if not access and not secret and not token:
        return None
    if not access or not secret:
        missing = _VARIABLES[1] if access else _VARIABLES[0]
        raise SpecError(
            "BadCredentials",
            f"{missing} is not set: set both {_VARIABLES[0]} and {_VARIABLES[1]}, or none of the "
            "three for data that anyone may read",
        )
    for name, value in zip(_VARIABLES, (access, secret, token), strict=True):
        if not value.isascii() or not value.isprintable():
            raise SpecError(
                "BadCredentials", f"{name} holds characters that no key has; set it anew"
            )
    return Credentials(access, secret, token or None)
