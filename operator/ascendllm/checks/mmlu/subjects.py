"""`--subjects`: a part of the data set."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from ascendllm.checks.mmlu.data import DataSet
from ascendllm.exceptions import SpecError

__all__ = ["choose_subjects"]


def choose_subjects(data: DataSet, wanted: Sequence[str]) -> DataSet:
    """The questions of some subjects; the digest stays that of the whole set.

    Args:
        data: The whole set.
        wanted: Names as in the files; none means all.

    Raises:
        SpecError: `UnknownSubject`, with the near names.
    """
    if not wanted:
        return data
    for name in wanted:
        if name not in data.test:
            near = difflib.get_close_matches(name, data.test, n=3, cutoff=0.5)
            known = f"near it: {', '.join(near)}" if near else f"known: {_some(list(data.test))}"
            raise SpecError(
                "UnknownSubject",
                f"--subjects: {name!r} is no subject of the data; {known}",
            )
    chosen = set(wanted)
    return DataSet(
        {subject: rows for subject, rows in data.dev.items() if subject in chosen},
        {subject: rows for subject, rows in data.test.items() if subject in chosen},
        data.digest,
    )


def _some(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
