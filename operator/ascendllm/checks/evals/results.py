"""What lm-eval wrote, read with distrust: its results and its samples, never its table.

Shape: lm_eval 0.4.12, `result_schema.py` and `loggers/evaluation_tracker.py`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from ascendllm.checks.evals.task import TaskSpec
from ascendllm.checks.result import is_number, rounded
from ascendllm.exceptions import CheckError

__all__ = ["Findings", "read_findings"]

RESULTS_BYTES = 64 * 1024 * 1024
SAMPLE_BYTES = 64 * 1024 * 1024

_SHARE = re.compile(
    r"acc|acc_(norm|bytes|mutual_info|all)|exact_match|em|exact|f1|pass(@|_at_)\d+|math_verify"
    r"|(prompt|inst)_level_(strict|loose)_acc"
)
"""Metrics that are shares from 0 to 1, more being better: these are percentages times 100."""


@dataclass(frozen=True, slots=True)
class Findings:
    """One task's figures.

    Args:
        rows: One a filter and metric, of the task or group itself.
        parts: The same of a group's tasks, for the report.
        requests: How many requests the samples say that there were.
        version: lm-eval's.
    """

    rows: list[dict[str, object]]
    parts: list[dict[str, object]]
    requests: int
    version: str


def read_findings(folder: Path, task: TaskSpec) -> Findings:
    """Read the files of one run.

    Args:
        folder: lm-eval's output folder.
        task: What was run.

    Raises:
        CheckError: `HarnessFailed` where a file or key is missing, `SamplesMissing` where not
            every question was asked, `ShotsIgnored`, `NoGroupFigure`.
    """
    data = _object(_only(folder, "results_*.json"), RESULTS_BYTES)
    results, counts = _mapping(data, "results"), _mapping(data, "n-samples")
    leaves = [name for name in counts if name in results]
    if not leaves:
        raise _failed("its results name no task with samples")
    for leaf in leaves:
        _whole(leaf, _mapping(counts, leaf), task.limit)
        _shots(leaf, _mapping(data, "n-shot").get(leaf), task.shots)
    requests, seen = _count_samples(folder, leaves)
    for leaf in leaves:
        if seen[leaf] != _mapping(counts, leaf)["effective"]:
            raise CheckError(
                "SamplesMissing", f"{leaf}: lm-eval logged {seen[leaf]} of its samples only"
            )
    hashes = _mapping(data, "task_hashes")
    parts = [row for leaf in leaves for row in _rows(leaf, data, [leaf], hashes)]
    if task.name in leaves:
        rows = [row for row in parts if row["task"] == task.name]
    else:
        rows = _rows(task.name, data, leaves, hashes)
    if not rows:
        raise CheckError(
            "NoGroupFigure",
            f"{task.name}: lm-eval gives no figure for it as a whole; name one of its tasks, as "
            f"{', '.join(leaves)[:300]}",
        )
    version = data.get("lm_eval_version")
    return Findings(rows, parts, requests, version if isinstance(version, str) else "unknown")


def _rows(
    name: str, data: Mapping[str, object], leaves: list[str], hashes: Mapping[str, object]
) -> list[dict[str, object]]:
    """The figures of a task or group, one a filter and metric."""
    values: Mapping[str, object] = {}
    for place in ("results", "groups"):
        values = {**values, **_optional(_optional(data, place), name)}
    counts, shots = _mapping(data, "n-samples"), _mapping(data, "n-shot")
    better = _optional(_optional(data, "higher_is_better"), name)
    samples = sum(cast(int, _mapping(counts, leaf)["effective"]) for leaf in leaves)
    questions = sum(cast(int, _mapping(counts, leaf)["original"]) for leaf in leaves)
    given = [shots.get(leaf) for leaf in leaves]
    same = given[0] if given.count(given[0]) == len(given) else None
    rows = []
    for key, value in values.items():
        metric, found, chosen = key.partition(",")
        if not found or metric.endswith("_stderr") or not is_number(value):
            continue
        row: dict[str, object] = {
            "task": name,
            "version": _version(_optional(data, "versions").get(name)),
            "filter": chosen,
            "metric": metric,
        }
        row |= _value(metric, cast(float, value), values.get(f"{metric}_stderr,{chosen}"), better)
        row |= {"shots": same, "samples": samples}
        if questions != samples:
            row["questions"] = questions
        if isinstance(hashes.get(name), str):
            row["taskHash"] = str(hashes[name])[:16]
        rows.append({key: item for key, item in row.items() if item is not None})
    return rows


def _value(
    metric: str, value: float, error: object, better: Mapping[str, object]
) -> dict[str, object]:
    """Percent where the metric is a share; else lm-eval's own number, marked as such."""
    share = _SHARE.fullmatch(metric) is not None and 0 <= value <= 1
    share = share and better.get(metric) is not False
    factor = 100 if share else 1
    row: dict[str, object] = {"value": rounded(value * factor, 2 if share else 4)}
    if is_number(error) and math.isfinite(cast(float, error)):
        row["standardError"] = rounded(cast(float, error) * factor, 2 if share else 4)
    return row if share else row | {"unit": "raw"}


def _whole(leaf: str, counts: Mapping[str, object], limit: int | None) -> None:
    """Every question was asked, or as many as were wanted."""
    original, effective = counts.get("original"), counts.get("effective")
    if type(original) is not int or type(effective) is not int or original < 1:
        raise _failed(f"{leaf}: its results hold no counts of samples")
    wanted = original if limit is None else min(limit, original)
    if effective != wanted:
        raise CheckError(
            "SamplesMissing", f"{leaf}: {effective} questions were asked where {wanted} are due"
        )


def _shots(leaf: str, seen: object, wanted: int | None) -> None:
    if wanted is not None and seen != wanted:
        raise CheckError(
            "ShotsIgnored",
            f"{leaf}: lm-eval gave {seen} shots where shots={wanted} was asked for: the task has "
            f"its own number; leave shots out, or give shots={seen}",
        )


def _count_samples(folder: Path, leaves: list[str]) -> tuple[int, dict[str, int]]:
    """Requests and documents in the logged samples; every filter logs them again."""
    requests = 0
    seen = {}
    for leaf in leaves:
        path = _only(folder, f"samples_{_escaped(leaf)}_[0-9]*.jsonl")
        documents: dict[object, int] = {}
        for sample in _samples(path):
            answers = sample.get("resps")
            if not isinstance(answers, list) or not all(isinstance(a, list) for a in answers):
                raise _failed(f"{path.name}: a sample without answers")
            documents[sample.get("doc_id")] = sum(len(answer) for answer in answers)
        seen[leaf] = len(documents)
        requests += sum(documents.values())
    return requests, seen


def _samples(path: Path) -> Iterator[dict[str, Any]]:
    with path.open("rb") as file:
        while line := file.readline(SAMPLE_BYTES):
            try:
                sample = json.loads(line)
            except (ValueError, RecursionError):
                sample = None
            if not isinstance(sample, dict):
                raise _failed(f"{path.name}: a line that is no sample")
            yield sample


def _only(folder: Path, pattern: str) -> Path:
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        raise _failed(f"it wrote {len(found)} files {pattern} where one is due")
    return found[0]


def _escaped(name: str) -> str:
    return re.sub(r"([*?\[])", r"[\1]", name)


def _object(path: Path, most: int) -> dict[str, object]:
    with path.open("rb") as file:
        raw = file.read(most + 1)
    try:
        data = json.loads(raw) if len(raw) <= most else None
    except (ValueError, RecursionError):
        data = None
    if not isinstance(data, dict):
        raise _failed(f"{path.name} is no JSON object of at most {most} bytes")
    return cast("dict[str, object]", data)


def _mapping(data: Mapping[str, object], key: str) -> dict[str, object]:
    value = data.get(key)
    if not isinstance(value, dict):
        raise _failed(f"its results lack {key}")
    return cast("dict[str, object]", value)


def _optional(data: Mapping[str, object], key: str) -> dict[str, object]:
    value = data.get(key)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}


def _version(value: object) -> str | None:
    return None if value is None else str(value)[:40]


def _failed(why: str) -> CheckError:
    return CheckError("HarnessFailed", f"lm-eval's output can't be read: {why}")
