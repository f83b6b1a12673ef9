"""Figures as the decimals that are written: what a person computes by hand is what decides."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

from ascendllm.checks.result import is_number

__all__ = ["decimal_of", "percent_of"]


def decimal_of(value: object) -> Decimal | None:
    """A finite number as the decimal that is written, or None where it is none."""
    if not (is_number(value) or isinstance(value, Decimal)):
        return None
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        return None
    return number if number.is_finite() else None


def percent_of(value: object) -> Decimal | None:
    """The same, where it is from 0 to 100."""
    number = decimal_of(value)
    return number if number is not None and 0 <= number <= 100 else None
