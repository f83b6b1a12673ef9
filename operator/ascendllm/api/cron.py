"""Cron schedules: five fields, in UTC."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, Field

from ascendllm.api.scalars import cel, rules

__all__ = ["CronSchedule", "require_schedule"]

_MONTHS = "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec"
_DAYS = "sun|mon|tue|wed|thu|fri|sat"
_STEP = r"(/[1-9][0-9]?)?"

_LEAP_YEAR = datetime(2024, 1, 1, tzinfo=UTC)


def _field(value: str) -> str:
    item = rf"(\*|({value})(-({value}))?){_STEP}"
    return rf"{item}(,{item})*"


_PATTERN = (
    "(?i)^"
    + " +".join(
        _field(value)
        for value in (
            "[0-5]?[0-9]",
            "[01]?[0-9]|2[0-3]",
            "0?[1-9]|[12][0-9]|3[01]",
            f"0?[1-9]|1[0-2]|{_MONTHS}",
            f"[0-7]|{_DAYS}",
        )
    )
    + "$"
)
_REMEDY = (
    "must be a cron schedule of five fields (minute, hour, day of the month, month, day of the "
    "week, in UTC), such as 0 3 * * 1 for Mondays at 03:00"
)


def require_schedule(text: str) -> str:
    """A schedule that comes round.

    Raises:
        ValueError: It is none, or names a day that no month has.
    """
    if re.fullmatch(_PATTERN, text) is None:
        raise ValueError(_REMEDY)
    try:
        next(CronSim(text.upper(), _LEAP_YEAR))
    except (CronSimError, StopIteration) as error:
        raise ValueError(f"{_REMEDY} ({error})") from error
    return text


CronSchedule = Annotated[
    str,
    Field(
        min_length=9,
        max_length=100,
        json_schema_extra=rules(cel(f"self.matches(r'{_PATTERN}')", _REMEDY)),
    ),
    AfterValidator(require_schedule),
]
"""When something comes round: minute, hour, day of the month, month, day of the week, in UTC."""
