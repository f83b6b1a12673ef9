"""The bounded scalars."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest

from ascendllm.api.scalars import parse_duration, parse_quantity


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("10s", 10), ("1h1m1s", 3661), ("90m", 5400), ("0h5m", 300)],
)
def test_a_duration(text: str, seconds: int) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "1d", "-1h", "1m1h", "1h ", "1.5h", "1h\n"])
def test_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration such as 30m"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", Decimal(1)),
        ("500m", Decimal("0.5")),
        ("0.5", Decimal("0.5")),
        ("16Gi", Decimal(16 * 2**30)),
        ("1.5Ki", Decimal(1536)),
        ("1k", Decimal(1000)),
        ("2P", Decimal(2 * 10**15)),
    ],
)
def test_a_quantity(text: str, value: Decimal) -> None:
    assert parse_quantity(text) == value


@pytest.mark.parametrize(
    "text", ["", "Gi", "-1", "1e3", "1 Gi", "1gi", "1Gim", ".5", "1_0", "1Gi\n"]
)
def test_no_quantity(text: str) -> None:
    with pytest.raises(ValueError, match="not a quantity such as 16Gi"):
        parse_quantity(text)
