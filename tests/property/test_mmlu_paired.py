"""What must hold of a comparison with a reference for any answers."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from ascendllm.checks.mmlu.checkpoint import Answers, Identity
from ascendllm.checks.mmlu.data import DataSet, Question
from ascendllm.checks.mmlu.looks import looks, order, selected
from ascendllm.checks.mmlu.paired import Flips, compare, count_flips, mcnemar
from ascendllm.checks.mmlu.reference import Reference
from ascendllm.checks.mmlu.sequential import decide, judge_paired, plan_looks

IDENTITY = Identity("d", "lmEval", 1, 5, "m")
# At most half of two or more answers are wrong: a reference under 30 % is refused.
SIZES = st.dictionaries(st.sampled_from("abcd"), st.integers(2, 120), min_size=1)
TOLERANCES = st.decimals(0, 100, places=2)
SLOW = settings(max_examples=60, deadline=None)
PAIRS = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60)


@st.composite
def subjects(draw: st.DrawFn) -> dict[str, Flips]:
    found = {}
    for name in draw(st.sets(st.sampled_from("abcdef"), min_size=1)):
        asked = draw(st.integers(1, 100))
        worse = draw(st.integers(0, asked))
        better = draw(st.integers(0, asked - worse))
        found[name] = Flips(worse, better, asked, draw(st.integers(asked, 300)))
    return found


@st.composite
def runs(draw: st.DrawFn) -> tuple[Reference, DataSet, Answers]:
    """A whole reference and a whole run, of which some answers differ."""
    sizes = draw(SIZES)
    right = Question("?", ("a", "b", "c", "d"), "A")
    data = DataSet({}, {s: (right,) * n for s, n in sorted(sizes.items())}, "d")
    share = draw(st.sampled_from([0, 1, 5, 50]))

    def letters(size: int) -> str:
        wrong = draw(st.sets(st.integers(0, size - 1), max_size=max(1, size * share // 100)))
        return "".join("B" if index in wrong else "A" for index in range(size))

    reference = Reference(IDENTITY, {s: letters(n) for s, n in sizes.items()}, "sha256:r", "r")
    return reference, data, Answers(IDENTITY, {s: list(letters(n)) for s, n in sizes.items()})


@settings(deadline=None)
@given(PAIRS)
def test_flips_are_those_that_a_loop_counts(pairs: list[tuple[bool, bool]]) -> None:
    found = count_flips([p[0] for p in pairs], [p[1] for p in pairs], 100)
    assert found.worse == len([1 for before, now in pairs if before and not now])
    assert found.better == len([1 for before, now in pairs if now and not before])
    accuracy = sum(now for _, now in pairs) - sum(before for before, _ in pairs)
    assert found.difference == Fraction(accuracy, len(pairs))


@settings(deadline=None)
@given(subjects())
def test_the_reverse_comparison_is_the_mirror_image(found: dict[str, Flips]) -> None:
    turned = {s: Flips(f.better, f.worse, f.asked, f.questions) for s, f in found.items()}
    here, there = compare(found), compare(turned)
    assert here.delta == -there.delta
    assert (here.error, here.p_value) == (there.error, there.p_value)
    lower, upper = here.bounds
    assert there.bounds == (-upper, -lower)


@settings(deadline=None)
@given(subjects())
def test_the_difference_is_within_its_bounds(found: dict[str, Flips]) -> None:
    paired = compare(found)
    written = paired.to_json()
    lower, delta, upper = (written[key] for key in ("lower", "delta", "upper"))
    assert lower <= delta <= upper  # type: ignore[operator]
    assert paired.exact == all(f.asked == f.questions for f in found.values())
    naive = [(f.better - f.worse) / f.asked for f in found.values()]
    assert math.isclose(paired.delta, 100 * sum(naive) / len(naive), abs_tol=1e-9)


@settings(deadline=None)
@given(subjects(), TOLERANCES, TOLERANCES)
def test_more_tolerance_never_fails_what_passed(
    found: dict[str, Flips], one: Decimal, other: Decimal
) -> None:
    paired, (less, more) = compare(found), sorted((one, other))
    if decide(paired, less) == "Passed":
        assert decide(paired, more) == "Passed"
    if decide(paired, more) == "Failed":
        assert decide(paired, less) == "Failed"


@SLOW
@given(runs(), TOLERANCES, TOLERANCES)
def test_that_holds_of_the_looks_together_too(
    run: tuple[Reference, DataSet, Answers], one: Decimal, other: Decimal
) -> None:
    less, more = sorted((one, other))
    if judge_paired(*run, less).result == "Passed":
        assert judge_paired(*run, more).result == "Passed"


@SLOW
@given(runs(), TOLERANCES)
def test_a_whole_run_always_comes_to_a_verdict(
    run: tuple[Reference, DataSet, Answers], tolerance: Decimal
) -> None:
    assert judge_paired(*run, tolerance).result in ("Passed", "Failed")


@SLOW
@given(runs(), TOLERANCES)
def test_what_a_plan_asks_is_what_the_verdict_needs(
    run: tuple[Reference, DataSet, Answers], tolerance: Decimal
) -> None:
    reference, data, answers = run
    partly = Answers(IDENTITY, {s: ["."] * len(rows) for s, rows in answers.letters.items()})
    plan = plan_looks(reference, tolerance)(data, partly)
    places = [(s, i) for stage in plan.stages for s, indices in stage.items() for i in indices]
    assert len(places) == len(set(places)) == data.counts.questions
    assert judge_paired(reference, data, partly, tolerance).result == "Inconclusive"
    for number, stage in enumerate(plan.stages, start=1):
        for subject, indices in stage.items():
            for index in indices:
                partly.letters[subject][index] = answers.letters[subject][index]
        if number < len(plan.stages) and plan.enough(number):
            break
    assert judge_paired(reference, data, partly, tolerance) == judge_paired(*run, tolerance)


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_the_binomial_sum(worse: int, better: int) -> None:
    flips, fewer = worse + better, min(worse, better)
    tail = sum(Fraction(math.comb(flips, k), 2**flips) for k in range(fewer + 1))
    assert mcnemar(worse, better) == float(min(Fraction(1), 2 * tail))


@SLOW
@given(SIZES)
def test_looks_grow_to_the_whole_set(sizes: dict[str, int]) -> None:
    planned = looks(sizes)
    assert planned[-1] == sizes
    taken = [selected(sizes, look) for look in planned]
    for smaller, larger in pairwise(taken):
        assert all(set(smaller[s]) <= set(larger[s]) for s in sizes)
        assert smaller != larger


@SLOW
@given(st.text(max_size=20), st.integers(1, 300))
def test_an_order_holds_each_question_once(subject: str, questions: int) -> None:
    assert sorted(order(subject, questions)) == list(range(questions))
