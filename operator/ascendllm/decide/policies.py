"""May this spec be acted on? What only the operator can see, and the API server cannot.

Each policy looks at one rule and returns the problem or None; the first problem counts. Its message
names the field, the value, the rule and the remedy.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ascendllm.api.checks.mmlu import protocol_of
from ascendllm.api.sources import DataFolder, DataSource, same_store
from ascendllm.api.spec import Spec
from ascendllm.engine import options
from ascendllm.engine.arguments import OWNED, tensor_parallel_size
from ascendllm.exceptions import SpecError
from ascendllm.settings import Settings

__all__ = ["POLICIES", "Input", "first_problem", "mmlu_data"]

_CONFIG_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Input:
    """What the policies look at.

    Attributes:
        settings: None where the operator's settings are not known (`ascendllm render` without
            `--settings`): what depends on them is then not judged.
        name: The resource's.
    """

    spec: Spec
    settings: Settings | None
    name: str = ""


Policy = Callable[[Input], SpecError | None]


def mmlu_data(spec: Spec, settings: Settings | None) -> DataSource | None:
    """The data set of mmlu: the resource's own, else the operator's."""
    mmlu = spec.validation.mmlu if spec.validation else None
    if mmlu is None:
        return None
    if mmlu.data is not None:
        return mmlu.data
    return settings.mmlu_data if settings is not None else None


def model_host_path_not_allowed(given: Input) -> SpecError | None:
    """The model's host path must lie under a prefix that the operator's owner allows."""
    return _host_path(given, "spec.model.source.hostPath", given.spec.model.source.host_path)


def data_host_path_not_allowed(given: Input) -> SpecError | None:
    """So must the data of every check; the operator's own `mmluData` is its owner's choice."""
    problems = (
        _host_path(given, f"spec.validation.{field}.hostPath", data.host_path)
        for field, data in _data_of(given.spec)
    )
    return next(filter(None, problems), None)


def _data_of(spec: Spec) -> Iterator[tuple[str, DataFolder]]:
    """Every data source of the checks, with its field."""
    validation = spec.validation
    if validation is None:
        return
    bench, mmlu, parity = validation.bench, validation.mmlu, validation.parity
    if bench is not None and bench.dataset is not None and bench.dataset.sharegpt is not None:
        yield "bench.dataset.sharegpt", bench.dataset.sharegpt
    if mmlu is not None and mmlu.data is not None:
        yield "mmlu.data", mmlu.data
    if mmlu is not None and mmlu.reference is not None and mmlu.reference.data is not None:
        yield "mmlu.reference.data", mmlu.reference.data
    for number, task in enumerate(validation.evals or []):
        if task.data is not None:
            yield f"evals[{number}].data", task.data
    if parity is not None and parity.reference.data is not None:
        yield "parity.reference.data", parity.reference.data


def parallelism_does_not_fit(given: Input) -> SpecError | None:
    """tensor x pipeline x data parallel size must be the pod's NPUs: no card idle, none missing."""
    engine, count = given.spec.engine, given.spec.npu.count
    tensor = tensor_parallel_size(engine, given.spec.npu)
    product = tensor * engine.pipeline_parallel_size * engine.data_parallel_size
    if product == count:
        return None
    return SpecError(
        "ParallelismMismatch",
        f"spec.engine asks for tensorParallelSize {tensor} x pipelineParallelSize "
        f"{engine.pipeline_parallel_size} x dataParallelSize {engine.data_parallel_size} = "
        f"{product} NPUs, spec.npu.count gives a pod {count}: the two must be equal; change one",
    )


def engine_arguments_refused(given: Input) -> SpecError | None:
    """An option that `vllm serve` would refuse is named before any pod starts."""
    problems = options.load().problems(given.spec.engine.args or [], OWNED)
    if not problems:
        return None
    return SpecError(
        "InvalidEngineArgs",
        "spec.engine.args: " + "; ".join(problem.message for problem in problems),
    )


def engine_config_too_large(given: Input) -> SpecError | None:
    """Each of the two JSON settings becomes one argument, and Linux limits those to 128 KiB."""
    engine = given.spec.engine
    for field, value in (
        ("additionalConfig", engine.additional_config),
        ("compilationConfig", engine.compilation_config),
    ):
        size = len(json.dumps(value).encode()) if value is not None else 0
        if size > _CONFIG_LIMIT:
            return SpecError(
                "InvalidEngine",
                f"spec.engine.{field} is {size} bytes of JSON: at most {_CONFIG_LIMIT} can be "
                "given; leave out what is at its default",
            )
    return None


def too_long_for_one_step(given: Input) -> SpecError | None:
    """vLLM refuses a step smaller than the number of sequences in it."""
    tokens, sequences = given.spec.engine.max_num_batched_tokens, given.spec.engine.max_num_seqs
    if tokens is None or sequences is None or tokens >= sequences:
        return None
    return SpecError(
        "InvalidEngine",
        f"spec.engine.maxNumBatchedTokens {tokens} is less than maxNumSeqs {sequences}: a step "
        "holds at least one token of each sequence; raise the first or lower the second",
    )


def bench_longer_than_context(given: Input) -> SpecError | None:
    """A benchmark whose requests don't fit would be refused request by request, after the load."""
    longest = given.spec.engine.max_model_len
    bench = given.spec.validation.bench if given.spec.validation else None
    if bench is None or longest is None:
        return None
    if bench.dataset is not None and bench.dataset.sharegpt is not None:
        # A conversation brings its own lengths; what does not fit is left out by the job.
        return None
    shared = bench.prefix_tokens
    if shared + bench.input_tokens + bench.output_tokens <= longest:
        return None
    parts = [("prefixTokens", shared)] if shared else []
    parts += [("inputTokens", bench.input_tokens), ("outputTokens", bench.output_tokens)]
    return SpecError(
        "InvalidBench",
        f"spec.validation.bench asks for {' + '.join(str(tokens) for _, tokens in parts)} tokens "
        f"({' + '.join(name for name, _ in parts)}), spec.engine.maxModelLen allows {longest}: "
        "lower the first or raise the second",
    )


def bench_compared_with_itself(given: Input) -> SpecError | None:
    """What a resource came to before is `regression`'s business, not `compareTo`'s."""
    bench = given.spec.validation.bench if given.spec.validation else None
    compare_to = bench.compare_to if bench is not None else None
    if compare_to is None or compare_to.name is None or compare_to.name != given.name:
        return None
    return SpecError(
        "InvalidBench",
        f"spec.validation.bench.compareTo.name {compare_to.name} is this resource: name another "
        "AscendLLM, give figures, or use regression to hold a run against the one before",
    )


def baseline_of_another_way(given: Input) -> SpecError | None:
    """Figures of two protocols, or of other shots, differ by more than any tolerance."""
    mmlu = given.spec.validation.mmlu if given.spec.validation else None
    baseline = mmlu.baseline if mmlu is not None else None
    if mmlu is None or baseline is None or baseline.across_protocols:
        return None
    protocol = protocol_of(mmlu, given.spec.model.kind)
    if baseline.protocol not in (None, protocol):
        field, theirs, ours = "protocol", str(baseline.protocol), str(protocol)
    elif baseline.shots not in (None, mmlu.shots):
        field, theirs, ours = "shots", str(baseline.shots), str(mmlu.shots)
    else:
        return None
    return SpecError(
        "InvalidBaseline",
        f"spec.validation.mmlu.baseline.{field} is {theirs}, the check's {field} is {ours}: such "
        f"figures are not compared; set spec.validation.mmlu.{field} to {theirs}, take a baseline "
        f"of {ours}, or set baseline.acrossProtocols to true",
    )


def reference_in_another_store(given: Input) -> SpecError | None:
    """One job reads mmlu's data and its reference, with one endpoint and one pair of keys."""
    mmlu = given.spec.validation.mmlu if given.spec.validation else None
    if mmlu is None or mmlu.reference is None:
        return None
    if same_store(mmlu_data(given.spec, given.settings), mmlu.reference.data):
        return None
    return SpecError(
        "InvalidReference",
        "spec.validation.mmlu.reference.data.s3 is of another store than mmlu's data "
        f"({'data' if mmlu.data is not None else 'mmluData of the operator'}): both are read with "
        "one endpoint, region and credentialsSecret; give both the same, or put the reference on "
        "a claim, in an image or in a ConfigMap",
    )


def no_data_set(given: Input) -> SpecError | None:
    """mmlu needs data, and is told so before an NPU is taken."""
    wanted = given.spec.validation is not None and given.spec.validation.mmlu is not None
    if not wanted or given.settings is None or mmlu_data(given.spec, given.settings) is not None:
        return None
    return SpecError(
        "NoDataset",
        "spec.validation.mmlu.data is unset and the operator has no mmluData: name a claim, an "
        "image, an object store or a host path with the data set, or have the operator's owner set "
        "mmluData in ConfigMap ascendllm-operator",
    )


POLICIES: tuple[Policy, ...] = (
    model_host_path_not_allowed,
    data_host_path_not_allowed,
    parallelism_does_not_fit,
    engine_arguments_refused,
    engine_config_too_large,
    too_long_for_one_step,
    bench_longer_than_context,
    bench_compared_with_itself,
    baseline_of_another_way,
    reference_in_another_store,
    no_data_set,
)


def first_problem(given: Input) -> SpecError | None:
    """The first problem of the spec, or None."""
    return next((problem for policy in POLICIES if (problem := policy(given))), None)


def _host_path(given: Input, field: str, path: str | None) -> SpecError | None:
    if path is None or given.settings is None or given.settings.allows_host_path(path):
        return None
    prefixes = ", ".join(given.settings.host_path_prefixes) or "none"
    return SpecError(
        "HostPathNotAllowed",
        f"{field} {path} lies under no prefix that the operator's owner allows ({prefixes}): use a "
        "claim (pvc), or have the prefix added to hostPathPrefixes in ConfigMap ascendllm-operator",
    )
