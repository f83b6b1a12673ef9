"""A reference: every answer of an earlier run, to compare with question by question.

Two forms are read: `answers.json` of a run's ConfigMap, and the report of `--output`. Both hold the
identity of the run (data set, protocol and its number, shots, subjects, model) and its answers, and
both give the same hash. A reference counts only for a run of the same identity.

The model's name: the reference is meant to be the same model, served elsewhere or before. Names
that differ only in case, separators or folders are the same (`/models/Llama-3.1-8B` and
`llama-3.1-8b`); any other name is refused, unless it was said that the reference's model bears it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

from ascendllm.checks.judging.mmlu import BROKEN_BELOW
from ascendllm.checks.mmlu.checkpoint import UNEXTRACTED, UNKNOWN, Identity
from ascendllm.checks.mmlu.data import LETTERS, MAX_QUESTIONS, DataSet
from ascendllm.checks.result import compact_json, rounded
from ascendllm.exceptions import SpecError

__all__ = ["Reference", "parse_reference", "read_reference", "require_same"]

REFERENCE_BYTES = 32 * 1024 * 1024
_KNOWN = frozenset(LETTERS + UNEXTRACTED + UNKNOWN)


@dataclass(frozen=True, slots=True)
class Reference:
    """The answers of an earlier run.

    Args:
        identity: What was asked, of which model.
        answers: One character a question, by subject, in the data's order.
        digest: `sha256:…` over both, the same for both forms of one run.
        place: Where it came from, for messages.
    """

    identity: Identity
    answers: Mapping[str, str]
    digest: str
    place: str

    def right(self, data: DataSet) -> dict[str, list[bool]]:
        """Whether it was right, question by question."""
        return {
            subject: [
                letter == row.answer
                for letter, row in zip(self.answers[subject], rows, strict=True)
            ]
            for subject, rows in data.test.items()
        }


def read_reference(path: Path, shown: str | None = None) -> Reference:
    """Read a reference from a file.

    Args:
        path: The file.
        shown: How messages name it; unset: `--reference PATH`.

    Raises:
        SpecError: `BadReference`, saying what is wrong with it.
    """
    place = shown or f"--reference {path}"
    try:
        with path.open("rb") as file:
            raw = file.read(REFERENCE_BYTES + 1)
    except OSError as error:
        raise _bad(place, f"can't be read: {error}") from None
    if len(raw) > REFERENCE_BYTES:
        raise _bad(place, f"it is longer than {REFERENCE_BYTES} bytes")
    return parse_reference(raw, place)


def parse_reference(raw: bytes | str, place: str = "the reference") -> Reference:
    """Read a reference from its text.

    Raises:
        SpecError: `BadReference`, saying what is wrong with it.
    """
    try:
        stored = json.loads(raw)
    except (ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise _bad(place, "it is no JSON object")
    identity = _identity(stored, place)
    given = stored.get("answers")
    if isinstance(given, list):
        answers = _of_report(given, place)
    elif isinstance(given, dict):
        answers = _of_answers(given, place)
    else:
        raise _bad(place, "it has no answers")
    if not answers:
        raise _bad(place, "it has no answers")
    answers = dict(sorted(answers.items()))
    text = compact_json([identity.to_json(), answers])
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return Reference(identity, answers, f"sha256:{digest}", place)


def require_same(
    reference: Reference, run: Identity, data: DataSet, model: str | None = None
) -> None:
    """Refuse a reference that the run can't be compared with.

    Args:
        reference: The reference.
        run: What this run asks, of which model.
        data: The questions that this run may ask.
        model: The name under which the reference's model was served, where that is another.

    Raises:
        SpecError: `BadReference` or `OtherModel`.
    """
    theirs, ours = reference.identity.to_json(), run.to_json()
    for key, what in _COMPARED.items():
        if theirs[key] != ours[key]:
            raise _bad(
                reference.place,
                f"its {what} is {_short(theirs[key])}, this run's is {_short(ours[key])}; record a "
                "reference with the same options",
            )
    _require_model(reference, run.model if model is None else model)
    if reference.answers.keys() != data.test.keys():
        odd = ", ".join(sorted(reference.answers.keys() ^ data.test.keys())[:5])
        raise _bad(reference.place, f"it and this run are of different subjects: {odd}")
    for subject, rows in data.test.items():
        answers = reference.answers[subject]
        missing = answers.count(UNKNOWN) + max(0, len(rows) - len(answers))
        if missing or len(answers) != len(rows):
            raise _bad(
                reference.place,
                f"{subject}: {len(answers) - answers.count(UNKNOWN)} of {len(rows)} questions are "
                "answered; record it with a run that asks all of them (one without a reference)",
            )
    _require_sound(reference, data)


def _require_sound(reference: Reference, data: DataSet) -> None:
    """Refuse a reference that is about guessing: whatever came after it would be no worse."""
    shares = [Fraction(sum(found), len(found)) for found in reference.right(data).values() if found]
    macro = rounded(100 * sum(shares, Fraction()) / len(shares))
    if Decimal(str(macro)) < BROKEN_BELOW:
        raise _bad(
            reference.place,
            f"its macro average is {macro:.2f}, about what guessing gives (25): it was measured by "
            f"a broken method; record one that is above {BROKEN_BELOW}",
        )


_COMPARED = {
    "datasetHash": "data set",
    "protocol": "protocol",
    "protocolNumber": "protocol number",
    "measures": "measure",
    "shots": "number of shots",
    "subjects": "choice of subjects",
}


def _require_model(reference: Reference, name: str) -> None:
    recorded = reference.identity.model
    if _plain(recorded) != _plain(name):
        raise SpecError(
            "OtherModel",
            f"{reference.place} was recorded of model {recorded[:200]!r}, not {name[:200]!r}: "
            "answers of another model decide nothing; if it is the same model under another name, "
            "say --reference-model with the recorded name",
        )


def _plain(name: str) -> str:
    """A model's name without case, separators and the folders before it."""
    last = name.rstrip("/").rpartition("/")[2]
    return "".join(c for c in last.casefold() if c.isalnum())


def _identity(stored: Mapping[str, Any], place: str) -> Identity:
    nested = stored.get("identity")
    values = nested if isinstance(nested, dict) else stored
    for key, kind in _KINDS.items():
        if not isinstance(values.get(key), kind) or isinstance(values[key], bool):
            raise _bad(
                place,
                f"its {key} is missing or no {kind.__name__}; give the answers.json of a finished "
                "run, or the file that --output wrote",
            )
    if not all(isinstance(name, str) for name in values["subjects"]):
        raise _bad(place, "its subjects are no names")
    return Identity(
        values["datasetHash"],
        values["protocol"],
        values["protocolNumber"],
        values["shots"],
        values["model"],
        values["measures"],
        tuple(values["subjects"]),
    )


_KINDS: Mapping[str, type] = {
    "datasetHash": str,
    "protocol": str,
    "protocolNumber": int,
    "shots": int,
    "model": str,
    "measures": str,
    "subjects": list,
}


def _of_answers(given: Mapping[str, Any], place: str) -> dict[str, str]:
    for subject, letters in given.items():
        if not isinstance(letters, str) or not _KNOWN.issuperset(letters):
            raise _bad(place, f"the answers of {_short(subject)} are not A, B, C, D, '-' and '.'")
    return dict(given)


def _of_report(given: list[Any], place: str) -> dict[str, str]:
    """The answers by subject from a report's rows; what has no row is unanswered."""
    letters: dict[str, dict[int, str]] = {}
    for number, row in enumerate(given, start=1):
        subject, index, answer = _row(row, number, place)
        if letters.setdefault(subject, {}).setdefault(index, answer) != answer:
            raise _bad(place, f"answer {number}: question {index} of {subject[:80]} is there twice")
    if sum(max(rows) + 1 for rows in letters.values()) > MAX_QUESTIONS:
        raise _bad(place, f"it numbers more than {MAX_QUESTIONS} questions")
    return {
        subject: "".join(rows.get(index, UNKNOWN) for index in range(max(rows) + 1))
        for subject, rows in letters.items()
    }


def _row(row: object, number: int, place: str) -> tuple[str, int, str]:
    values = cast("dict[str, Any]", row) if isinstance(row, dict) else {}
    subject, index = values.get("subject"), values.get("question")
    answer = UNEXTRACTED if values.get("answer", "") is None else values.get("answer")
    sound = isinstance(subject, str) and isinstance(answer, str) and len(answer) == 1
    if not sound or not isinstance(index, int) or isinstance(index, bool):
        raise _bad(place, f"answer {number} lacks subject, question or answer")
    if not 0 <= index < MAX_QUESTIONS or answer not in _KNOWN:
        raise _bad(place, f"answer {number}: question {index}, answer {answer!r:.20}: out of range")
    return cast(str, subject), index, cast(str, answer)


def _short(value: object) -> str:
    return f"{value!r}"[:120]


def _bad(place: str, why: str) -> SpecError:
    return SpecError("BadReference", f"{place}: {why}")
