"""What is asked of one task: `gsm8k,shots=5,filter=strict-match,baseline=92.7,limit=100`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path

from ascendllm.exceptions import SpecError

__all__ = ["MOST_TASKS", "TaskSpec", "parse_task", "require_distinct"]

MOST_TASKS = 10
MOST_SHOTS = 100
MOST_LIMIT = 1_000_000

# lm-eval takes patterns, files and folders for names as well: none of these is a task to stake a
# release on. Its own names hold letters, digits and what stands here.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+() -]{0,127}")
_WORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@+-]{0,63}")
_WHOLE = re.compile(r"[0-9]{1,9}")
_KEYS = ("shots", "filter", "metric", "baseline", "tolerance", "limit", "data")


@dataclass(frozen=True, slots=True)
class TaskSpec:
    """One task of lm-eval, and what its value is held against.

    Args:
        name: lm-eval's name of the task or group.
        shots: Solved examples; None: the task's own number.
        filter: Which of the task's filters is judged; None: its only one.
        metric: Which of its metrics is judged; None: its only one.
        baseline: Percent; None: nothing is judged.
        tolerance: Percent points.
        limit: The first so many questions only; None: all.
        data: A folder that holds data sets under their hub names; None: lm-eval looks where the
            environment says.
    """

    name: str
    shots: int | None = None
    filter: str | None = None
    metric: str | None = None
    baseline: Decimal | None = None
    tolerance: Decimal = Decimal(1)
    limit: int | None = None
    data: Path | None = None

    def bound(self) -> dict[str, object]:
        """What the operator passes to `judge_evals` as well."""
        wanted: dict[str, object] = {"task": self.name, "filter": self.filter}
        wanted |= {"metric": self.metric, "baseline": self.baseline, "tolerance": self.tolerance}
        return {key: value for key, value in wanted.items() if value is not None}


def parse_task(text: str) -> TaskSpec:
    """Read one `--task`.

    Raises:
        SpecError: `BadTask`, naming the key, its value, the rule and the remedy.
    """
    name, *parts = text.split(",")
    if not _NAME.fullmatch(name) or name.endswith(".yaml") or name != name.strip():
        raise _bad(text, f"{name!r} is no task's name", "begin with one, as gsm8k,shots=5")
    given: dict[str, str] = {}
    for part in parts:
        key, found, value = part.partition("=")
        if not found or key not in _KEYS:
            remedy = f"give KEY=VALUE with a key of {', '.join(_KEYS)}"
            raise _bad(text, f"{part!r} is not understood", remedy)
        if key in given:
            raise _bad(text, f"{key} is given twice", "give it once")
        if not value:
            raise _bad(text, f"{key} has no value", f"give {key}=VALUE or leave it out")
        given[key] = value
    return TaskSpec(
        name,
        shots=_whole(text, given, "shots", 0, MOST_SHOTS),
        filter=_word(text, given, "filter"),
        metric=_word(text, given, "metric"),
        baseline=_percent(text, given, "baseline"),
        tolerance=_percent(text, {"tolerance": "1.0"} | given, "tolerance") or Decimal(0),
        limit=_whole(text, given, "limit", 1, MOST_LIMIT),
        data=_folder(text, given),
    )


def require_distinct(tasks: Sequence[TaskSpec]) -> None:
    """Each task once: a stored figure is found again by its task's name.

    Raises:
        SpecError: `BadTask`.
    """
    names = [task.name for task in tasks]
    if not 1 <= len(names) <= MOST_TASKS:
        raise SpecError("BadTask", f"--task: {len(names)} tasks; give from 1 to {MOST_TASKS}")
    for name in names:
        if names.count(name) > 1:
            raise SpecError(
                "BadTask",
                f"--task {name}: named more than once; every filter and metric of a task is "
                "reported anyway: name it once, and run the command again for other shots",
            )


def _whole(text: str, given: Mapping[str, str], key: str, least: int, most: int) -> int | None:
    value = given.get(key)
    if value is None:
        return None
    if not (_WHOLE.fullmatch(value) and least <= int(value) <= most):
        raise _bad(text, f"{key}={value} is no whole number from {least} to {most}", "give one")
    return int(value)


def _word(text: str, given: Mapping[str, str], key: str) -> str | None:
    value = given.get(key)
    if value is not None and not _WORD.fullmatch(value):
        raise _bad(text, f"{key}={value} is no name", f"give the {key}'s name as lm-eval writes it")
    return value


def _percent(text: str, given: Mapping[str, str], key: str) -> Decimal | None:
    value = given.get(key)
    if value is None:
        return None
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("NaN")
    if not (number.is_finite() and 0 <= number <= 100):
        raise _bad(text, f"{key}={value} is no number from 0 to 100", "give percent points")
    return number


def _folder(text: str, given: Mapping[str, str]) -> Path | None:
    value = given.get("data")
    if value is None:
        return None
    folder = Path(value)
    if not folder.is_dir():
        raise _bad(
            text,
            f"data={value} is no folder",
            "give one that holds the data sets under their hub names, as openai/gsm8k/",
        )
    return folder.resolve()


def _bad(text: str, what: str, remedy: str) -> SpecError:
    return SpecError("BadTask", f"--task {text!r:.200}: {what}; {remedy}")
