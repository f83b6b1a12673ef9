"""What bench is asked to do."""

from __future__ import annotations

import difflib
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, model_validator

from ascendllm.api.checks.bench_figures import FIGURES, DirectedFigure
from ascendllm.api.checks.bench_rules import SCHEMA_RULES, problems
from ascendllm.api.model import ResourceModel
from ascendllm.api.scalars import RESOURCE_NAME, cel, rules
from ascendllm.api.sources import DataFiles

__all__ = [
    "BenchCheck",
    "Bound",
    "CompareTo",
    "Dataset",
    "Goodput",
    "RampUp",
    "RandomPrompts",
    "Regression",
]

_KNOWN = "must be figures of bench, such as meanTtftMs or outputThroughput (the README lists them)"
_KNOWN_NAMES = rules(
    cel(f"self.all(name, name in [{', '.join(repr(name) for name in FIGURES)}])", _KNOWN)
)
_Milliseconds = Annotated[float, Field(gt=0, le=86_400_000)]
_Value = Annotated[float, Field(ge=0, le=1e15)]
_Tokens = Annotated[int, Field(ge=1, le=1_048_576)]
_Concurrency = Annotated[int, Field(ge=1, le=4096)]
_Rate = Annotated[int, Field(ge=1, le=100_000)]


def _known(value: dict[str, object]) -> dict[str, object]:
    for name in value:
        if name not in FIGURES:
            near = difflib.get_close_matches(name[:100], FIGURES, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else _KNOWN
            raise ValueError(f"{name[:100]!r} is no figure of bench: {hint}")
    return value


class Bound(ResourceModel):
    """What a figure must keep to; both ends belong to it."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel("has(self.min) || has(self.max)", "give min or max, or remove the figure"),
            cel(
                "!has(self.min) || !has(self.max) || self.min <= self.max",
                "min is above max, which nothing keeps: lower min or raise max",
            ),
        )
    )

    min: _Value | None = None
    """The least that passes."""

    max: _Value | None = None
    """The most that passes."""

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.min is None and self.max is None:
            raise ValueError("give min or max, or remove the figure")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max, which nothing keeps: lower min or raise max")
        return self


class Goodput(ResourceModel):
    """What a request must keep to in order to count for goodput."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.ttftMs) || has(self.tpotMs) || has(self.e2elMs)",
                "give at least one of ttftMs, tpotMs and e2elMs, or remove goodput",
            )
        )
    )

    ttft_ms: _Milliseconds | None = None
    """The longest time to the first token, in ms."""

    tpot_ms: _Milliseconds | None = None
    """The longest time per output token after the first, in ms."""

    e2el_ms: Annotated[_Milliseconds | None, Field(alias="e2elMs")] = None
    """The longest time of the whole request, in ms."""

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if self.ttft_ms is None and self.tpot_ms is None and self.e2el_ms is None:
            raise ValueError("give at least one of ttftMs, tpotMs and e2elMs, or remove goodput")
        return self


class RampUp(ResourceModel):
    """A request rate that changes from the first request to the last."""

    strategy: Literal["linear", "exponential"]
    """How the rate goes from startRps to endRps."""

    start_rps: _Rate
    """Requests per second at the start."""

    end_rps: _Rate
    """Requests per second at the end."""


class RandomPrompts(ResourceModel):
    """Random text of exactly inputTokens tokens on the server's count."""


class Dataset(ResourceModel):
    """Where the prompts come from; exactly one of the fields."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.random) != has(self.sharegpt)",
                "give exactly one data set: random: {} or sharegpt",
            )
        )
    )

    random: RandomPrompts | None = None
    """Random text; the default."""

    sharegpt: DataFiles | None = None
    """Conversations in ShareGPT's format: a folder with exactly one JSON file; in S3, or on a
    claim, the file itself will do. Prompts and answers have the lengths that they have there."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.random is None) == (self.sharegpt is None):
            raise ValueError("give exactly one data set: random: {} or sharegpt")
        return self


class Regression(ResourceModel):
    """The last passed run of the same measurement is what the figures are held against."""

    tolerance: Annotated[float, Field(ge=0, le=1000)] = 10.0
    """How many percent worse than that run's figure still pass."""

    figures: Annotated[tuple[DirectedFigure, ...], Field(min_length=1, max_length=16)] = (
        "outputThroughput",
        "meanTtftMs",
        "meanTpotMs",
    )
    """Which figures are held."""


class CompareTo(ResourceModel):
    """What the report's before/after table stands against; it decides nothing."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.name) != has(self.figures)",
                "give exactly one of name (another AscendLLM) and figures",
            )
        )
    )

    name: Annotated[str, Field(min_length=1, max_length=36, pattern=RESOURCE_NAME)] | None = None
    """Another AscendLLM of this namespace: the bench figures of its status."""

    figures: (
        Annotated[
            dict[str, _Value],
            Field(min_length=1, max_length=32, json_schema_extra=_KNOWN_NAMES),
            AfterValidator(_known),
        ]
        | None
    ) = None
    """Figures by name, such as outputThroughput: 102."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.name is None) == (self.figures is None):
            raise ValueError("give exactly one of name (another AscendLLM) and figures")
        return self


class BenchCheck(ResourceModel):
    """Throughput and latency, with the definitions of `vllm bench serve`."""

    model_config = ConfigDict(json_schema_extra=rules(*SCHEMA_RULES))

    input_tokens: _Tokens = 128
    """Tokens of each random prompt, as the server counts."""

    output_tokens: Annotated[int, Field(ge=2, le=1_048_576)] = 128
    """Tokens of each answer to a random prompt."""

    concurrency: _Concurrency = 4
    """Requests in flight, in a closed loop: at a rate nothing limits them."""

    sweep: (
        Annotated[
            list[_Concurrency],
            Field(
                min_length=1,
                max_length=10,
                json_schema_extra=rules(
                    cel(
                        "self.all(a, self.exists_one(b, b == a))",
                        "each concurrency may stand here once: remove the second one",
                    )
                ),
            ),
        ]
        | None
    ) = None
    """Several concurrencies instead of one, each a run of its own; the headline figures are those
    of the one with the highest output throughput."""

    requests: Annotated[int, Field(ge=1, le=100_000)] = 20
    """Requests in all; of a sweep, for each concurrency."""

    request_rate: Annotated[float, Field(gt=0, le=100_000)] | None = None
    """Requests per second that are sent, whether answers come or not (an open loop); unset, the
    next one is sent when one is answered (a closed loop)."""

    burstiness: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """How evenly requests come at a rate: 1 is a Poisson process, less is burstier, more evener."""

    ramp_up: RampUp | None = None
    """A changing rate, instead of requestRate."""

    warmup: Annotated[int, Field(ge=0, le=10_000)] = 0
    """Requests before the measured ones."""

    dataset: Dataset | None = None
    """Where the prompts come from; random text when unset."""

    prefix_tokens: Annotated[int, Field(ge=0, le=1_048_576)] = 0
    """Tokens before inputTokens that all random prompts share."""

    long_context: bool = False
    """One more request that fills maxModelLen, reported by itself."""

    goodput: Goodput | None = None
    """Which requests count for requestGoodput."""

    thresholds: (
        Annotated[
            dict[str, Bound],
            Field(min_length=1, max_length=16, json_schema_extra=_KNOWN_NAMES),
            AfterValidator(_known),
        ]
        | None
    ) = None
    """What figures must keep to; in a sweep, at each concurrency."""

    regression: Regression | None = None
    """Fail when the figures are worse than those of the last passed run."""

    compare_to: CompareTo | None = None
    """Show the figures beside others, before and after."""

    shards: Annotated[int, Field(ge=1, le=16)] = 1
    """Pods that send requests; their results are merged exactly."""

    under_load: bool = False
    """Measure even where the server has other clients."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for problem in problems(self):
            raise ValueError(problem)
        return self
