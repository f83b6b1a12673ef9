"""The errors that AscendLLM raises on purpose.

AscendError
├── SpecError           what a resource or a command line asks for cannot be done
├── SettingsError       the operator's own settings are wrong
├── ClusterError        the API server refused, failed, or did not answer
├── CheckError          a check reached no verdict: becomes a result `Error` with this reason
├── DownloadError       a model did not come whole from where it is
└── UsageError          an argument list that `vllm serve` would refuse
"""

from __future__ import annotations

__all__ = [
    "AscendError",
    "CheckError",
    "ClusterError",
    "DownloadError",
    "SettingsError",
    "SpecError",
    "UsageError",
]


class AscendError(Exception):
    """The root: whoever catches this catches every error that is ours."""


class SpecError(AscendError):
    """What was asked for cannot be done.

    Args:
        reason: CamelCase, as it stands in a condition, such as `HostPathNotAllowed`.
        message: The field, its value, the rule, and the remedy, in that order.
        unwatched: Whether what would mend it is not watched, so that it must be looked for.
    """

    def __init__(self, reason: str, message: str, *, unwatched: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.unwatched = unwatched


class SettingsError(AscendError):
    """A setting of the operator is missing or malformed; names it and says what it may be."""


class ClusterError(AscendError):
    """A request to the API server failed.

    Args:
        status: The HTTP status, or 0 where no answer came.
        reason: The API server's reason, such as `Conflict` or `NotFound`.
        message: The API server's message.
    """

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(f"{reason or 'no answer'} ({status}): {message}")
        self.status = status
        self.reason = reason
        self.message = message


class CheckError(AscendError):
    """A check could not be brought to a verdict.

    Args:
        reason: CamelCase, such as `ServerUnreachable`.
        message: What was expected, what was seen, and what to look at.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message


class DownloadError(AscendError):
    """A model could not be brought from its source into a folder.

    Args:
        reason: CamelCase, as it stands in a condition, such as `VolumeFull`.
        message: What was wanted, what was seen, and the remedy.
        again: Whether the same download may succeed later, with nothing mended by anybody.
    """

    def __init__(self, reason: str, message: str, *, again: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.again = again


class UsageError(AscendError):
    """An argument list that the parser of `vllm serve` refuses; the text is the parser's."""
