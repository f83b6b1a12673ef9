"""The answers so far, as text that a later attempt goes on from.

One character a question: the letter, `-` where the model answered with none, or `.` where nothing
is known; about 15 KB for the whole MMLU. A checkpoint counts only for the same data, protocol,
protocol number, shots, subjects, measure and model: any other is dropped, never mixed in.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from ascendllm.checks.mmlu.data import LETTERS, DataSet
from ascendllm.checks.result import compact_json

__all__ = ["UNEXTRACTED", "UNKNOWN", "Answers", "Identity", "empty", "restore"]

UNKNOWN = "."
UNEXTRACTED = "-"
"""A generated answer that names no letter: answered, and wrong."""

_KNOWN = frozenset(LETTERS + UNEXTRACTED)


@dataclass(frozen=True, slots=True)
class Identity:
    """What answers belong to.

    Args:
        dataset_hash: Of the whole data set.
        protocol: Its name.
        protocol_number: Of the check.
        shots: Solved examples before each question.
        model: The served name.
        measures: `letterLogprobs` or `generatedLetter`; the ways to read log-probabilities all
            give the same letter, so they aren't told apart.
        subjects: Those that were chosen, sorted; empty for all.
    """

    dataset_hash: str
    protocol: str
    protocol_number: int
    shots: int
    model: str
    measures: str = "letterLogprobs"
    subjects: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Its JSON object."""
        return {
            "datasetHash": self.dataset_hash,
            "protocol": self.protocol,
            "protocolNumber": self.protocol_number,
            "shots": self.shots,
            "model": self.model,
            "measures": self.measures,
            "subjects": list(self.subjects),
        }


@dataclass(frozen=True, slots=True)
class Answers:
    """The answers of one run, filled in as they come.

    Args:
        identity: What they belong to.
        letters: One character a question, by subject, in the data's order.
        methods: The ways in which they were read.
    """

    identity: Identity
    letters: Mapping[str, list[str]]
    methods: set[str] = field(default_factory=set)

    def has(self, subject: str, index: int) -> bool:
        """Whether a question is answered."""
        return self.letters[subject][index] != UNKNOWN

    @property
    def done(self) -> int:
        """Questions that are answered."""
        return sum(len(row) - row.count(UNKNOWN) for row in self.letters.values())

    @property
    def unextracted(self) -> int:
        """Answers that name no letter."""
        return sum(row.count(UNEXTRACTED) for row in self.letters.values())

    def by_subject(self) -> dict[str, str]:
        """`{"anatomy": "ABCD.…"}`."""
        return {subject: "".join(row) for subject, row in self.letters.items()}

    def to_text(self) -> str:
        """The checkpoint."""
        return compact_json(
            {
                "identity": self.identity.to_json(),
                "methods": sorted(self.methods),
                "answers": self.by_subject(),
            }
        )


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
    methods = stored.get("methods")
    if not isinstance(methods, list) or not all(isinstance(name, str) for name in methods):
        return None
    letters = {subject: list(rows[subject]) for subject in data.test}
    return Answers(identity, letters, set(methods))
