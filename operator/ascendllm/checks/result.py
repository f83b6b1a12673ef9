"""The result of a check, as it is printed, stored in a run's ConfigMap and read by the operator.

Shape: one flat JSON object with `check`, `result`, `reason`, `message`, `startedAt`, `finishedAt`,
`protocolNumber`, `harness` and the check's figures in camelCase. Imports stay light: the operator
uses this module.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from typing import Literal, NoReturn, cast, get_args

from ascendllm import __version__
from ascendllm.exceptions import CheckError

__all__ = [
    "RESULT_BYTES",
    "TERMINATION_BYTES",
    "CheckResult",
    "Verdict",
    "compact_json",
    "is_number",
    "now",
    "one_line",
    "read_result",
    "readable_json",
    "rounded",
    "terse",
    "writable",
]

Verdict = Literal["Passed", "Failed", "Error", "Inconclusive", "Skipped"]
"""Failed is a verdict about the model; the last three mean that none was reached."""

RESULT_BYTES = 64 * 1024
"""The longest `result.json` that is written or read."""

TERMINATION_BYTES = 1024
"""The longest termination message that we write; the kubelet keeps 4096 bytes of a container's."""

MESSAGE_CHARACTERS = 2000
_CAMEL_CASE = re.compile(r"[A-Z][A-Za-z0-9]{0,63}")
_EXACT = Context(prec=400)
"""Digits enough for the largest float and its decimals; the default 28 refuse numbers of 10^26."""
_EXIT_CODES: Mapping[Verdict, int] = {"Passed": 0, "Failed": 1}
_KEYS = (
    "check",
    "result",
    "reason",
    "message",
    "startedAt",
    "finishedAt",
    "protocolNumber",
    "harness",
)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check came to.

    Args:
        check: smoke, mmlu or bench.
        result: The verdict, or why there is none.
        reason: CamelCase, for machines.
        message: For people: what was found and, where something is wrong, what to do.
        started_at: RFC 3339, UTC, seconds.
        finished_at: The same.
        protocol_number: Raised when a check's figures could change; two numbers never compare.
        harness: The version of this package that measured.
        figures: What was measured, camelCase keys, JSON values; percent, ms and tokens per second
            rounded to two decimals.
    """

    check: str
    result: Verdict
    reason: str
    message: str
    started_at: str
    finished_at: str
    protocol_number: int
    harness: str = __version__
    figures: Mapping[str, object] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 2 no verdict."""
        return _EXIT_CODES.get(self.result, 2)

    def to_json(self) -> dict[str, object]:
        """The flat object of the module's description; the common keys come first."""
        common = (
            self.check,
            self.result,
            self.reason,
            one_line(self.message)[:MESSAGE_CHARACTERS],
            self.started_at,
            self.finished_at,
            self.protocol_number,
            self.harness,
        )
        figures = cast("dict[str, object]", writable(dict(self.figures)))
        named = {key: value for key, value in figures.items() if key not in _KEYS}
        return dict(zip(_KEYS, common, strict=True)) | named


def now() -> str:
    """The present second, RFC 3339 in UTC."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def rounded(value: float | Fraction | Decimal, digits: int = 2) -> float:
    """A figure as it is written: half up, on the exact or the shown value.

    Raises:
        CheckError: The value is not finite, so it is no figure.
    """
    if isinstance(value, Fraction):
        exact = Decimal(value.numerator) / Decimal(value.denominator)
    elif isinstance(value, Decimal):
        exact = value
    else:
        exact = Decimal(repr(value))
    if not exact.is_finite():
        raise CheckError("InternalError", f"a figure came out as {value}; this is a bug of ours")
    last = Decimal(1).scaleb(-digits)
    return float(exact.quantize(last, rounding=ROUND_HALF_UP, context=_EXACT)) + 0.0


def compact_json(value: object) -> str:
    """JSON without spaces; NaN and infinities are refused (ValueError), as JSON has none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def readable_json(value: object) -> str:
    """Indented JSON for a terminal: what is not printable is escaped, and nothing is lost."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=2)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(c if c == "\n" or c.isprintable() else json.dumps(c)[1:-1] for c in text)


def read_result(text: str, limit: int = RESULT_BYTES) -> CheckResult:
    """Read what a job wrote.

    Args:
        text: `result.json` or a termination message.
        limit: The most bytes that are looked at.

    Raises:
        CheckError: `ResultUnreadable`, naming the key that is wrong.
    """
    if len(text.encode("utf-8", "replace")) > limit:
        raise _unreadable(f"it is longer than {limit} bytes")
    try:
        data = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise _unreadable(f"it is not JSON ({error})") from None
    if not isinstance(data, dict):
        raise _unreadable("it is not an object")
    for key in _KEYS:
        wanted: type = int if key == "protocolNumber" else str
        if not isinstance(data.get(key), wanted) or isinstance(data[key], bool):
            raise _unreadable(f"key {key} is missing or no {wanted.__name__}")
    if data["result"] not in get_args(Verdict):
        raise _unreadable(
            f"result is {data['result']!r}, not one of {', '.join(get_args(Verdict))}"
        )
    if not _CAMEL_CASE.fullmatch(data["reason"]):
        raise _unreadable(f"reason {data['reason'][:80]!r} is not one CamelCase word")
    return CheckResult(
        check=data["check"],
        result=cast(Verdict, data["result"]),
        reason=data["reason"],
        message=one_line(data["message"])[:MESSAGE_CHARACTERS],
        started_at=data["startedAt"],
        finished_at=data["finishedAt"],
        protocol_number=data["protocolNumber"],
        harness=data["harness"],
        figures={key: writable(value) for key, value in data.items() if key not in _KEYS},
    )


def terse(result: CheckResult, limit: int = TERMINATION_BYTES) -> str:
    """The result as JSON without lists and objects, of at most `limit` bytes.

    What doesn't fit goes in this order: the end of the message, then the last figures.
    """
    data = {k: v for k, v in result.to_json().items() if not isinstance(v, list | dict)}
    message = result.message
    while len(text := compact_json(data)) > 0 and (over := len(text.encode()) - limit) > 0:
        if len(message) > 80:
            message = message[: max(80, len(message) - max(over, 8))]
            data["message"] = message + "..."
        elif len(data) > len(_KEYS):
            data.pop(next(reversed(data)))
        elif message:
            message = message[: len(message) // 2]
            data["message"] = message
        else:
            break
    return text


def one_line(text: str) -> str:
    """A text without line breaks, control characters, invisible characters and lone surrogates.

    Messages quote servers, and end in terminals, events and conditions. What `str.isprintable`
    takes for printable holds no escape sequence and nothing that changes the order of letters.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else " " for c in str(writable(text)))


def writable(value: object) -> object:
    """A JSON value that can be encoded: JSON can name lone surrogates, UTF-8 can't hold them."""
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, Mapping):
        return {str(writable(str(key))): writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [writable(item) for item in value]
    return value


def is_number(value: object) -> bool:
    """Whether a JSON value is a finite number (a boolean is none, nor what no float can hold)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unreadable(why: str) -> CheckError:
    return CheckError("ResultUnreadable", f"the job's result can't be read: {why}")
