"""May this spec be acted on? What only the operator can see, and the API server cannot.

Each policy looks at one rule and returns the problem or None; the first problem counts. Its message
names the field, the value, the rule and the remedy. One module a subject.
"""

from __future__ import annotations

from ascendllm.decide.policies import checks, engine, groups, hosts, kinds, npus
from ascendllm.decide.policies.given import Input, Policy, mmlu_data
from ascendllm.exceptions import SpecError

__all__ = ["POLICIES", "Input", "first_problem", "mmlu_data"]

POLICIES: tuple[Policy, ...] = (
    hosts.model_host_path_not_allowed,
    hosts.adapter_host_path_not_allowed,
    hosts.data_host_path_not_allowed,
    npus.chips_not_served,
    npus.generation_contradicts,
    npus.static_slice_is_one,
    npus.module_is_two,
    engine.engine_config_too_large,
    engine.engine_arguments_refused,
    engine.engine_config_refused,
    engine.parallelism_does_not_fit,
    groups.copies_over_pods,
    groups.leader_worker_set_missing,
    engine.ascend_refuses,
    engine.too_long_for_one_step,
    engine.adapters_refused,
    npus.slice_refused,
    npus.policy_missing,
    checks.bench_longer_than_context,
    checks.bench_compared_with_itself,
    checks.baseline_of_another_way,
    checks.reference_in_another_store,
    checks.dummy_over_nodes,
    checks.no_data_set,
    kinds.gateway_without_its_api,
    kinds.zero_without_keda,
)


def first_problem(given: Input) -> SpecError | None:
    """The first problem of the spec, or None."""
    return next((problem for policy in POLICIES if (problem := policy(given))), None)
