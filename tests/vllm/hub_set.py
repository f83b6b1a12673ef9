"""Writes a question set as the hub's cais/mmlu: run by the Python of vLLM's environment.

    python -I hub_set.py CSV_FOLDER OUT SUBJECT…

`OUT/cais/mmlu` is then what `datasets.load_dataset("cais/mmlu", SUBJECT)` reads in the folder OUT.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import datasets

_FEATURES = datasets.Features(
    {
        "question": datasets.Value("string"),
        "subject": datasets.Value("string"),
        "choices": datasets.Sequence(datasets.Value("string")),
        "answer": datasets.ClassLabel(names=["A", "B", "C", "D"]),
    }
)


def main(source: Path, out: Path, subjects: list[str]) -> None:
    """Write the parquet files and the card that names them."""
    hub = out / "cais" / "mmlu"
    configs = []
    for subject in subjects:
        files = []
        for split in ("dev", "test"):
            rows = _rows(source / split / f"{subject}_{split}.csv", subject)
            path = f"{subject}/{split}-00000-of-00001.parquet"
            (hub / subject).mkdir(parents=True, exist_ok=True)
            datasets.Dataset.from_list(rows, features=_FEATURES).to_parquet(hub / path)
            files.append({"split": split, "path": path})
        configs.append({"config_name": subject, "data_files": files})
    # JSON is YAML.
    (hub / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n", encoding="utf-8")


def _rows(path: Path, subject: str) -> list[dict[str, object]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {"question": row[0], "subject": subject, "choices": row[1:5], "answer": row[5]}
            for row in csv.reader(file)
        ]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
