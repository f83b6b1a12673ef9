"""Writes a synthetic question set in the format of MMLU, with its answer key.

    python -m ascendllm_simulator.dataset DIR [--questions 20] [--key FILE]

The layout is that of hendrycks' data: `{dev,test}/<subject>_{dev,test}.csv` without a header, with
the columns question, A, B, C, D, letter. The 57 subjects have MMLU's names, but no text is taken
from MMLU. Some questions contain quotes, commas and line breaks, and some choices are `None`, `NA`
or `nan`, which careless parsers lose. The output is deterministic.
"""

from __future__ import annotations

import argparse
import csv
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from ascendllm_simulator.mmlu import LETTERS, rule_answer

__all__ = ["DEV_QUESTIONS", "SUBJECTS", "main", "rows", "write"]

SUBJECTS = tuple(
    [
        "abstract_algebra",
        "anatomy",
        "astronomy",
        "business_ethics",
        "clinical_knowledge",
        "college_biology",
        "college_chemistry",
        "college_computer_science",
        "college_mathematics",
        "college_medicine",
        "college_physics",
        "computer_security",
        "conceptual_physics",
        "econometrics",
        "electrical_engineering",
        "elementary_mathematics",
        "formal_logic",
        "global_facts",
        "high_school_biology",
        "high_school_chemistry",
        "high_school_computer_science",
        "high_school_european_history",
        "high_school_geography",
        "high_school_government_and_politics",
        "high_school_macroeconomics",
        "high_school_mathematics",
        "high_school_microeconomics",
        "high_school_physics",
        "high_school_psychology",
        "high_school_statistics",
        "high_school_us_history",
        "high_school_world_history",
        "human_aging",
        "human_sexuality",
        "international_law",
        "jurisprudence",
        "logical_fallacies",
        "machine_learning",
        "management",
        "marketing",
        "medical_genetics",
        "miscellaneous",
        "moral_disputes",
        "moral_scenarios",
        "nutrition",
        "philosophy",
        "prehistory",
        "professional_accounting",
        "professional_law",
        "professional_medicine",
        "professional_psychology",
        "public_relations",
        "security_studies",
        "sociology",
        "us_foreign_policy",
        "virology",
        "world_religions",
    ]
)
DEV_QUESTIONS = 5

_SYLLABLES = [
    "ba",
    "ro",
    "ti",
    "mel",
    "von",
    "sar",
    "qui",
    "lo",
    "den",
    "pha",
    "zu",
    "ner",
    "cal",
    "ith",
    "os",
    "mur",
    "gen",
    "ta",
    "vel",
    "po",
]
_FORMS = (
    "Which of the following best describes the {a} of a {b}?",
    "A {a} meets a {b} and a {c}. What follows?",
    'According to the "{a} principle", a {b} is',
    "Consider this passage:\nThe {a} was, at last, a {b}.\nIt may be inferred that the {c} was",
    "If {n} {a}s, {m} {b}s and a {c} are combined, the result is",
    "The statement | the reason:\n{a} implies {b} | {b}, not {c}, is given.\n\nThe two are",
)
_ODD_CHOICES = (
    ("None", "NA", "nan", "None of the above"),
    ("0", "-1", "1,000", "1e3"),
    ('"quoted"', "it's, well, open", "a; b", "line\nbreak"),
    ("True", "False", "null", "N/A"),
)


def rows(subject: str, split: str, questions: int) -> Iterator[list[str]]:
    """The rows of one file.

    Args:
        subject: One of `SUBJECTS`.
        split: dev | test.
        questions: The number of rows.
    """
    source = random.Random(f"{subject}/{split}")  # noqa: S311 - synthetic text, not a secret
    for number in range(questions):
        words = {name: _word(source) for name in "abc"}
        form = _FORMS[(number + len(subject)) % len(_FORMS)]
        body = form.format(**words, n=source.randrange(2, 90), m=source.randrange(2, 90))
        question = f"({split} case {number + 1}) {body}"
        yield [question, *_choices(source, number), rule_answer(question)]


def _word(source: random.Random) -> str:
    return "".join(source.choices(_SYLLABLES, k=source.randrange(2, 4)))


def _choices(source: random.Random, number: int) -> list[str]:
    if number % 4 == 3:
        odd = list(_ODD_CHOICES[number // 4 % len(_ODD_CHOICES)])
        source.shuffle(odd)
        return odd
    return [f"{_word(source)} {_word(source)} {letter.lower()}" for letter in LETTERS]


def write(folder: Path, questions: int = 20, key: Path | None = None) -> int:
    """Write the question set.

    Args:
        folder: Created if it is missing.
        questions: Test questions per subject.
        key: The file for the answer key of the test questions, in the format that the `answers`
            of `simulator.json` has.

    Returns:
        The number of test questions.
    """
    entries = []
    for split, number in (("dev", DEV_QUESTIONS), ("test", questions)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for subject in SUBJECTS:
            table = list(rows(subject, split, number))
            path = folder / split / f"{subject}_{split}.csv"
            with path.open("w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(table)
            if split == "test":
                entries += [
                    {"subject": subject, "question": row[0], "answer": row[-1]} for row in table
                ]
    if key is not None:
        key.write_text(json.dumps(entries, indent=0, ensure_ascii=False) + "\n", encoding="utf-8")
    return len(entries)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(prog="python -m ascendllm_simulator.dataset")
    parser.add_argument("folder", metavar="DIR", type=Path)
    parser.add_argument("--questions", type=int, default=20, help="test questions a subject")
    parser.add_argument("--key", metavar="FILE", type=Path, help="where to write the answer key")
    options = parser.parse_args(arguments)
    if options.questions < 1:
        parser.error(f"--questions must be at least 1, is {options.questions}")
    number = write(options.folder, options.questions, options.key)
    print(f"{number} questions of {len(SUBJECTS)} subjects in {options.folder}")


if __name__ == "__main__":
    main()
