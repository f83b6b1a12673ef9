"""The answers of the simulated model to MMLU questions, with a configured accuracy.

With an answer key, the accuracy is met as exactly as whole questions allow, in every subject and in
both averages. Without one, the correct answer is `rule_answer`, which the synthetic question set
(`dataset`) also uses, and a hash decides with the configured probability which answers are correct.
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
    """The question at the end of a prompt.

    Args:
        subject: For example `abstract_algebra`; empty if the prompt names none.
        text: The question without its choices.
    """

    subject: str
    text: str


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """One entry of an answer key; `answer` is a letter."""

    subject: str
    question: str
    answer: str


def recognise(prompt: str) -> Question | None:
    """The question that a prompt asks, None if it is not an MMLU prompt.

    Recognises the format of lm-eval and of hendrycks' evaluate.py: an optional header, any number
    of answered questions, then a question that ends with `Answer:`.
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
    """The question in Meta's format for instruct models: a user turn and the assistant's prefix.

    Args:
        text: Both turns, separated by a line break.
    """
    found = _TURN.match(text)
    return Question("", found.group(1).strip()) if found else None


def rule_answer(question: str) -> str:
    """The correct answer to a question of the synthetic set, derived from its text."""
    return LETTERS[_hash("answer", question) % 4]


def right_counts(sizes: Mapping[str, int], accuracy: float) -> dict[str, int]:
    """How many questions of each subject to answer correctly.

    Each count is the exact share, rounded down or up. The number of subjects rounded up makes the
    total as close to the accuracy as possible; which ones are rounded up is chosen so that the mean
    over the subjects is close to it too.

    Args:
        sizes: The number of questions by subject.
        accuracy: In percent.
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
    """Exchange subjects that are rounded up while that improves the macro average."""
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
        SettingsError: The file is missing or does not have this format.
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
    """Answers questions with the configured accuracy.

    Args:
        accuracy: In percent.
        key: The answer key; empty if there is none.
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
        """The letter that answers a question; the same question always gets the same letter."""
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
