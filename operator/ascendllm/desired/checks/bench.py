"""The call of `ascendllm validate bench`."""

from __future__ import annotations

from collections.abc import Iterator

from ascendllm.api.checks.bench import BenchCheck
from ascendllm.desired.checks.call import Call, Given, number
from ascendllm.desired.checks.files import Files, data_files

__all__ = ["bench_call"]

_DATA_PATH = "/dataset"
_STREAMS_PER_GIB = 512
"""A sending process of at most 150 MB carries 128 streams and more."""


def bench_call(given: Given) -> Call:
    """Several shards are pods of one Indexed Job, each told which it is by the Job's own index."""
    bench = given.validation.bench or BenchCheck()
    sharegpt = bench.dataset.sharegpt if bench.dataset is not None else None
    files = data_files(sharegpt, _DATA_PATH) if sharegpt is not None else Files()
    npus = given.spec.npus * given.spec.wanted
    streams = max(bench.sweep or [bench.concurrency]) / bench.shards
    memory = 1 + int((streams - 1) // _STREAMS_PER_GIB)
    return Call(
        [
            *(
                ["--dataset=sharegpt", *files.arguments]
                if sharegpt is not None
                else [
                    f"--input-tokens={bench.input_tokens}",
                    f"--output-tokens={bench.output_tokens}",
                ]
            ),
            *_load(bench),
            *_extras(bench),
            *_bounds(bench),
            f"--npus={npus}",
        ],
        files.mounted,
        files.env,
        pods=bench.shards,
        resources={
            "requests": {"cpu": "500m", "memory": "256Mi"},
            "limits": {"memory": f"{memory}Gi"},
        },
        scratch=files.scratch,
    )


def _load(bench: BenchCheck) -> Iterator[str]:
    if bench.sweep is not None:
        yield f"--sweep={','.join(str(level) for level in bench.sweep)}"
    elif bench.request_rate is None and bench.ramp_up is None:
        yield f"--concurrency={bench.concurrency}"
    yield f"--requests={bench.requests}"
    if bench.request_rate is not None:
        yield f"--request-rate={number(bench.request_rate)}"
    if bench.burstiness != 1:
        yield f"--burstiness={number(bench.burstiness)}"
    if bench.ramp_up is not None:
        yield f"--ramp-up-strategy={bench.ramp_up.strategy}"
        yield f"--ramp-up-start-rps={bench.ramp_up.start_rps}"
        yield f"--ramp-up-end-rps={bench.ramp_up.end_rps}"
    if bench.warmup:
        yield f"--warmup={bench.warmup}"


def _extras(bench: BenchCheck) -> Iterator[str]:
    if bench.prefix_tokens:
        yield f"--prefix-tokens={bench.prefix_tokens}"
    if bench.long_context:
        yield "--long-context"
    if bench.shards > 1:
        yield f"--shards={bench.shards}"
    if bench.under_load:
        yield "--under-load"


def _bounds(bench: BenchCheck) -> Iterator[str]:
    """What the job can judge by itself; what needs other runs the operator judges."""
    goodput = bench.goodput
    if goodput is not None:
        for option, milliseconds in (
            ("ttft", goodput.ttft_ms),
            ("tpot", goodput.tpot_ms),
            ("e2el", goodput.e2el_ms),
        ):
            if milliseconds is not None:
                yield f"--goodput-{option}-ms={number(milliseconds)}"
    for figure, bound in sorted((bench.thresholds or {}).items()):
        if bound.min is not None:
            yield f"--threshold={figure}>={number(bound.min)}"
        if bound.max is not None:
            yield f"--threshold={figure}<={number(bound.max)}"
