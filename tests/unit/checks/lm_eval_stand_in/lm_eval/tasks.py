from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any


class Kind(enum.Enum):
    TASK = 1
    PY_TASK = 2
    GROUP = 3
    TAG = 4


@dataclass
class Entry:
    kind: Kind
    cfg: dict[str, Any] | None


def task(**config: Any) -> Entry:
    return Entry(Kind.TASK, config)


SUMS = {
    "output_type": "generate_until",
    "dataset_path": "made-up/sums",
    "metric_list": [{"metric": "exact_match"}],
}
BOTH = [{"name": "strict-match"}, {"name": "flexible-extract"}]

TASKS = {
    "sums": task(**SUMS, filter_list=BOTH, num_fewshot=5),
    "sums_zero": task(**SUMS, num_fewshot=0),
    "sums_code": task(**SUMS, unsafe_code=True),
    "letters": task(output_type="multiple_choice", dataset_path="made-up/letters"),
    "bleu": task(output_type="generate_until", metric_list=[{"metric": "bleu"}]),
    "rolling": task(output_type="loglikelihood_rolling", dataset_path="made-up/text"),
    "own_code": Entry(Kind.PY_TASK, {"class": "x"}),
    "many": Entry(Kind.GROUP, {"group": "many", "task": ["sums", {"task": "sums_zero"}]}),
    "loose": Entry(Kind.GROUP, {"group": "loose", "task": ["sums", "sums_zero"]}),
    "mixed": Entry(Kind.GROUP, {"group": "mixed", "task": ["letters", "rolling"]}),
    "tagged": Entry(Kind.TAG, None),
}


class TaskManager:
    task_index = TASKS
