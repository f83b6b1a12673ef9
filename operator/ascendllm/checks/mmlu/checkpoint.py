"""The answers so far, as text that a later attempt goes on from.

One character a question: the letter, or `.` where none is known; about 15 KB for the whole MMLU.
A checkpoint counts only for the same data, protocol, protocol number, shots and model: any other
is dropped, never mixed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from ascendllm.checks.mmlu.data import LETTERS, DataSet
from ascendllm.checks.result import compact_json

__all__ = ["UNKNOWN", "Answers", "Identity", "empty", "restore"]

UNKNOWN = "."
_KNOWN = frozenset(LETTERS)


@dataclass(frozen=True, slots=True)
class Identity:
    """What a checkpoint belongs to."""

    dataset_hash: str
    protocol: str
    protocol_number: int
    shots: int
    model: str

    def to_json(self) -> dict[str, object]:
        """Its JSON object."""
        return {
            "datasetHash": self.dataset_hash,
            "protocol": self.protocol,
            "protocolNumber": self.protocol_number,
            "shots": self.shots,
            "model": self.model,
        }


@dataclass(frozen=True, slots=True)
class Answers:
    """One character a question, by subject, in the data's order."""

    identity: Identity
    letters: Mapping[str, list[str]]

    @property
    def done(self) -> int:
        """Questions with a letter."""
        return sum(len(row) - row.count(UNKNOWN) for row in self.letters.values())

    def by_subject(self) -> dict[str, str]:
        """`{"anatomy": "ABCD.…"}`."""
        return {subject: "".join(row) for subject, row in self.letters.items()}

    def to_text(self) -> str:
        """The checkpoint."""
        return compact_json({"identity": self.identity.to_json(), "answers": self.by_subject()})


def empty(identity: Identity, data: DataSet) -> Answers:
    """No answer yet."""
    return Answers(
        identity, {subject: [UNKNOWN] * len(rows) for subject, rows in data.test.items()}
    )


def restore(text: str, identity: Identity, data: DataSet) -> Answers | None:
    """The answers of an earlier attempt; None where they are of something else, or unreadable."""
    try:
        stored = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(stored, dict) or stored.get("identity") != identity.to_json():
        return None
    rows = stored.get("answers")
    if not isinstance(rows, dict) or rows.keys() != data.test.keys():
        return None
    for subject, row in rows.items():
        if not isinstance(row, str) or len(row) != len(data.test[subject]):
            return None
        if not _KNOWN.issuperset(row.replace(UNKNOWN, "")):
            return None
    return Answers(identity, {subject: list(rows[subject]) for subject in data.test})
