from __future__ import annotations

import json
import statistics
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.checks.bench.figures import figures
from ascendllm.checks.bench.load.lateness import keep_up
from ascendllm.checks.bench.measured import MOST_KEPT, Measured, Sample, merged
from ascendllm.checks.bench.tally import Tally
from ascendllm.exceptions import CheckError


def sample(start: float, *moments: float, tokens: int | None = None, end: float = 0.0) -> Sample:
    count = len(moments) if tokens is None else tokens
    return Sample("id", start, start, moments, end or moments[-1], 10, count)


def measured(samples: list[Sample], details: bool = False) -> Measured:
    found = Measured()
    for each in samples:
        found.take(each, 0.0, details)
    return found


def test_figures_by_hand() -> None:
    samples = [
        sample(0.0, 0.1, 0.12, 0.16),  # ttft 100, e2el 160, tpot 30
        sample(0.0, 0.2, 0.3),  # ttft 200, e2el 300, tpot 100
        sample(1.0, 1.3, end=2.0),  # ttft 300, e2el 300, no tpot
    ]
    found = figures(measured(samples), npus=4)
    assert (found["completed"], found["duration"]) == (3, 2.0)
    assert (found["totalInputTokens"], found["totalOutputTokens"]) == (30, 6)
    assert found["requestThroughput"] == 1.5
    assert (found["outputThroughput"], found["totalTokenThroughput"]) == (3.0, 18.0)
    assert found["outputThroughputPerNpu"] == 0.75
    assert (found["meanTtftMs"], found["medianTtftMs"]) == (200.0, 200.0)
    assert found["stdTtftMs"] == 81.65  # of the population: sqrt(20000/3)
    assert found["p99TtftMs"] == 298.0  # position 1.98 between 200 and 300
    assert (found["meanTpotMs"], found["medianTpotMs"]) == (65.0, 65.0)
    assert found["meanItlMs"] == 53.33
    assert found["meanE2elMs"] == 253.33


def test_fewer_chunks_than_tokens() -> None:
    """A chunk can hold several tokens: TPOT is over the tokens, ITL over the chunks."""
    found = figures(measured([sample(0.0, 0.1, 0.5, tokens=5)]), None)
    assert (found["meanTpotMs"], found["meanItlMs"]) == (100.0, 400.0)


@pytest.mark.parametrize(
    ("values", "percent", "expected"),
    [([100], 99, 1), ([300, 100, 200], 50, 2), ([0, 1000], 99, 9.9), ([100, 200], 100, 2)],
)
def test_percentiles_are_linear(values: list[int], percent: int, expected: float) -> None:
    tally = Tally()
    tally.add(values)
    assert float(tally.percentile_ms(percent)) == pytest.approx(expected)


@given(st.lists(st.integers(0, 10_000_000), min_size=1, max_size=50))
def test_a_tally_is_its_values(values: list[int]) -> None:
    tally = Tally()
    tally.add(values)
    assert len(tally) == len(values)
    assert float(tally.mean_ms()) == pytest.approx(statistics.fmean(values) / 100)
    assert tally.std_ms() == pytest.approx(statistics.pstdev(values) / 100, abs=1e-6)
    assert float(tally.percentile_ms(50)) == pytest.approx(statistics.median(values) / 100)
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally


MOMENT = st.floats(0, 100)
SAMPLES = st.lists(
    st.builds(
        lambda start, gaps, tokens: sample(
            start, *(start + sum(gaps[: n + 1]) for n in range(len(gaps))), tokens=tokens
        ),
        MOMENT,
        st.lists(st.floats(0, 10), min_size=1, max_size=6),
        st.integers(1, 6),
    ),
    min_size=1,
    max_size=12,
)


@given(SAMPLES, st.lists(st.integers(0, 3), min_size=12, max_size=12))
def test_shares_merge_exactly(samples: list[Sample], owners: list[int]) -> None:
    """Whoever measured which request: the figures are those of one process over all of them."""
    whole = measured(samples, details=True)
    split = [[s for s, owner in zip(samples, owners, strict=False) if owner == o] for o in range(4)]
    sent = [json.loads(json.dumps(measured(part, details=True).to_json())) for part in split]
    together = merged(Measured.from_json(part) for part in reversed(sent))
    if whole.duration:
        assert figures(together, 3) == figures(whole, 3)
    assert together.latencies() == whole.latencies()
    assert together.to_json() == merged([whole]).to_json()


def test_more_requests_than_are_kept() -> None:
    whole = Measured()
    for number in range(MOST_KEPT + 5):
        whole.take(sample(number / 1000, number / 1000 + 0.1), 0.0)
    assert whole.latencies() is None
    assert merged([whole]).rows == []
    assert figures(merged([whole]), None)["completed"] == MOST_KEPT + 5


@pytest.mark.parametrize(
    "change",
    [
        {"completed": -1},
        {"completed": True},
        {"ttft": [1]},
        {"ttft": [1, 0]},
        {"ttft": [1, 1, 0, 1]},
        {"ttft": "x"},
        {"rows": [[1, 2, 3]]},
        {"rows": []} | {"completed": "1"},
        {"rows": [[1, 2, 3, 4]] * 2},
        {"run_delay": None},
    ],
)
def test_a_share_that_is_none(change: dict[str, Any]) -> None:
    data = measured([sample(0.0, 0.1)]).to_json() | change
    with pytest.raises(CheckError) as caught:
        Measured.from_json(data)
    assert caught.value.reason == "ShardUnreadable"


def test_a_client_that_keeps_up() -> None:
    found = measured([sample(0.0, 0.1, 0.5)])
    found.send_lag.add([5800])  # 58 ms, where 20 + 2 % of 500 are allowed, twice for one of two
    found.stamp_lag.add([200])  # 2 ms, where 0.5 + 2 % of 100 are
    keep_up(found, 1)


@pytest.mark.parametrize(
    ("tally", "late"), [("send_lag", 6100), ("stamp_lag", 300), ("start_blur", 300)]
)
def test_a_client_that_does_not_keep_up(tally: str, late: int) -> None:
    found = measured([sample(0.0, 0.1, 0.5)])
    getattr(found, tally).add([late])
    with pytest.raises(CheckError) as caught:
        keep_up(found, 3)
    assert caught.value.reason == "ClientTooSlow"
    assert "--processes" in caught.value.message


def test_waiting_for_a_core_counts_where_the_kernel_stamps_nothing() -> None:
    found = measured([sample(0.0, 0.1, 0.5)])
    found.run_delay = 0.01
    keep_up(found, 1)
    found.stamp_lag.add([1])
    with pytest.raises(CheckError):
        keep_up(found, 1)
