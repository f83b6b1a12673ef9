"""What the simulated model answers to MMLU questions: right for a chosen share of them.

With an answer key the share is met as exactly as whole questions allow, in every subject and in
both averages. Without one, the right answer is `rule_answer`, which the made-up set follows too
(`dataset`), and each question is answered right with the chosen probability, by a hash.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ascendllm.exceptions import SettingsError

__all__ = [
    "LETTERS",
    "KeyEntry",
    "MmluAnswerer",
    "Question",
    "read_key",
    "recognise",
    "recognise_turn",
    "right_counts",
    "rule_answer",
]

LETTERS = "ABCD"

_HEADER = re.compile(
    r"The following are multiple choice questions \(with answers\) about +(.+?)\.\n\n"
)
_TURN = re.compile(
    r"\AGiven the following question and four candidate answers \(A, B, C and D\), choose the best "
    r"answer\.\nQuestion: (.*?)\nA\. .*\nB\. .*\nC\. .*\nD\. .*\nYour response should end with "
    r"\"The best answer is [^\n]*\nThe best answer is\Z",
    re.DOTALL,
)
_SHOT_END = re.compile(r"\nAnswer: [ABCD]\n\n")


@dataclass(frozen=True, slots=True)
class Question:
    """A question that a prompt ends in.

    Args:
        subject: Such as `abstract_algebra`; empty where the prompt names none.
        text: The question without its choices.
    """

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One line of an answer key; `answer` is a letter."""

    subject: str
    question: str
    answer: str


def recognise(prompt: str) -> Question | None:
    """The question that a prompt wants answered, None where it is no MMLU prompt.

    Takes the form of lm-eval and of hendrycks' evaluate.py: optional header, any number of
    answered questions, then one that ends in `Answer:`.
    """
    body = prompt.rstrip()
    if not body.endswith("\nAnswer:"):
        return None
    header = _HEADER.search(body)
    start = header.end() if header else 0
    for shot in _SHOT_END.finditer(body, start):
        start = shot.end()
    end = len(body)
    for letter in reversed(LETTERS):
        end = body.rfind(f"\n{letter}. ", start, end)
        if end < 0:
            return None
    subject = header.group(1).strip().replace(" ", "_") if header else ""
    return Question(subject, body[start:end].strip())


def recognise_turn(text: str) -> Question | None:
    """The question of Meta's form for instruct models: a user's turn and the assistant's prefix.

    Args:
        text: Both turns, a line break between them.
    """
    found = _TURN.match(text)
    return Question("", found.group(1).strip()) if found else None


def rule_answer(question: str) -> str:
    """The right answer of a question of the made-up set: a rule of its text."""
    return LETTERS[_hash("answer", question) % 4]


def right_counts(sizes: Mapping[str, int], accuracy: float) -> dict[str, int]:
    """How many questions of each subject to answer right.

    Each count is the exact share rounded down or up, so many up that the total is as near the
    accuracy as it can be, and these so chosen that the mean over subjects is near it too.

    Args:
        sizes: Questions by subject.
        accuracy: Percent.
    """
    share = accuracy / 100
    exact = {subject: share * size for subject, size in sizes.items()}
    counts = {subject: int(value + 1e-9) for subject, value in exact.items()}
    total = round(share * sum(sizes.values()))
    by_fraction = sorted(sizes, key=lambda subject: (counts[subject] - exact[subject], subject))
    raised = set(by_fraction[: total - sum(counts.values())])
    missing = sum((exact[s] - counts[s]) / sizes[s] for s in sizes if sizes[s])
    missing -= sum(1 / sizes[s] for s in raised)
    _swap_towards(raised, [s for s in by_fraction if exact[s] - counts[s] > 1e-6], sizes, missing)
    return {subject: count + (subject in raised) for subject, count in counts.items()}


def _swap_towards(
    raised: set[str], candidates: Sequence[str], sizes: Mapping[str, int], missing: float
) -> None:
    """Swap raised subjects for others while that brings the macro average nearer."""
    for _ in range(len(candidates)):
        best: tuple[float, str, str] | None = None
        for out in sorted(raised):
            for into in candidates:
                if into in raised:
                    continue
                left = abs(missing + 1 / sizes[out] - 1 / sizes[into])
                if left < abs(missing) - 1e-12 and (best is None or left < best[0]):
                    best = (left, out, into)
        if best is None:
            return
        _, out, into = best
        raised.remove(out)
        raised.add(into)
        missing += 1 / sizes[out] - 1 / sizes[into]


def read_key(path: Path) -> list[KeyEntry]:
    """Read an answer key: a JSON list of `{"subject", "question", "answer"}`.

    Raises:
        SettingsError: The file is missing or not of this form.
    """
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
        key = [KeyEntry(e["subject"], e["question"].strip(), e["answer"]) for e in entries]
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise SettingsError(f"{path}: no answer key: {type(error).__name__}: {error}") from error
    wrong = next((entry for entry in key if entry.answer not in tuple(LETTERS)), None)
    if wrong is not None:
        raise SettingsError(f"{path}: {wrong.question[:60]!r}: answer must be one of A, B, C, D")
    return key


class MmluAnswerer:
    """Answers questions right for the chosen share of them.

    Args:
        accuracy: Percent.
        key: The answer key; empty where there is none.
    """

    def __init__(self, accuracy: float, key: Iterable[KeyEntry] = ()) -> None:
        self._accuracy = accuracy
        self._answers: dict[tuple[str, str], tuple[str, bool]] = {}
        by_subject: dict[str, dict[str, str]] = defaultdict(dict)
        for entry in key:
            by_subject[entry.subject][entry.question] = entry.answer
        sizes = {subject: len(questions) for subject, questions in by_subject.items()}
        counts = right_counts(sizes, accuracy) if sizes else {}
        for subject, questions in by_subject.items():
            in_order = sorted(questions, key=lambda text: (_hash("order", text), text))
            for position, text in enumerate(in_order):
                known = (questions[text], position < counts[subject])
                self._answers[subject, text] = known
                self._answers.setdefault(("", text), known)

    def answer(self, question: Question) -> str:
        """The letter that is answered, the same for the same question."""
        known = self._answers.get((question.subject, question.text))
        if known is None:
            known = self._answers.get(("", question.text))
        if known is None:
            lucky = _hash("luck", question.text) % 100_000 < self._accuracy * 1000
            known = (rule_answer(question.text), lucky)
        right, knows = known
        if knows:
            return right
        others = LETTERS.replace(right, "")
        return others[_hash("wrong", question.text) % 3]


def _hash(purpose: str, text: str) -> int:
    digest = hashlib.blake2b(
        text.encode("utf-8", "replace"), digest_size=8, person=purpose.encode()
    )
    return int.from_bytes(digest.digest(), "big")
