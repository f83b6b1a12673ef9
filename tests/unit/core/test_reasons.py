"""The table of reasons in docs/troubleshooting.md holds what the code says, no more and no less."""

from __future__ import annotations

import re

from unit.core.documents import REPOSITORY
from unit.core.reasons import NOT_REASONS, all_texts, reasons

TABLE = (REPOSITORY / "docs" / "troubleshooting.md").read_text("utf-8")
PLACES = {"`Ready`", "`Available`", "`Validated`", "check", "command", "crash", "download", "event"}


def rows() -> list[tuple[str, str, str]]:
    return re.findall(r"^\| `(\w+)` \| (.*?) \| (.*) \|$", TABLE, re.M)


def test_every_reason_is_explained() -> None:
    documented = {reason for reason, _, _ in rows()}
    missing = sorted(reasons() - documented)
    assert missing == [], "explain them in docs/troubleshooting.md, or add them to NOT_REASONS"


def test_no_reason_is_explained_that_does_not_exist() -> None:
    assert sorted({reason for reason, _, _ in rows()} - all_texts()) == []


def test_no_word_is_excluded_that_does_not_exist() -> None:
    assert sorted(NOT_REASONS - all_texts()) == []


def test_the_table_is_in_order_and_says_where() -> None:
    found = [reason for reason, _, _ in rows()]
    assert found == sorted(set(found), key=str.lower)
    assert len(found) == TABLE.count("\n| `")
    for reason, places, text in rows():
        assert set(places.split(", ")) <= PLACES, reason
        assert text.endswith("."), reason
