"""Checks that could come to no verdict, told before an NPU is taken."""

from __future__ import annotations

from ascendllm.api.checks.mmlu import protocol_of
from ascendllm.api.sources import same_store
from ascendllm.decide.policies.given import Input, mmlu_data
from ascendllm.engine.in_force import in_force
from ascendllm.exceptions import SpecError

__all__ = [
    "baseline_of_another_way",
    "bench_compared_with_itself",
    "bench_longer_than_context",
    "dummy_over_nodes",
    "no_data_set",
    "reference_in_another_store",
]


def bench_longer_than_context(given: Input) -> SpecError | None:
    """A benchmark whose requests don't fit would be refused request by request, after the load."""
    longest = in_force(given.spec.engine).max_model_len
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


def dummy_over_nodes(given: Input) -> SpecError | None:
    """The job brings its own server, in its own pod."""
    asked = given.spec.validation is not None and given.spec.validation.dummy is not None
    if not asked or given.spec.nodes == 1:
        return None
    return SpecError(
        "InvalidDummy",
        f"spec.validation.dummy needs a server of one pod, spec.nodes is {given.spec.nodes}: "
        "remove it, or try the architecture in a resource with nodes: 1 first",
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
