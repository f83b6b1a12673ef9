"""Whatever a resource says of the engine is taken or refused in words; nothing of it crashes."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from ascendllm.api.engine import Engine
from ascendllm.api.npu import Npu
from ascendllm.api.runtime import Runtime
from ascendllm.api.spec import Spec
from ascendllm.decide.policies import Input, engine
from ascendllm.engine import options
from ascendllm.engine.arguments import serve_arguments
from ascendllm.engine.ascend import refusals, remarks
from ascendllm.engine.in_force import in_force
from ascendllm_simulator.option_parser import parse_arguments
from unit.core.kubelet import command_line

TABLE = options.load()
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 2**40), st.floats(), st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=8,
)
NAMES = st.sampled_from(
    [flag.removeprefix("--") for flag in TABLE.by_flag if flag.startswith("--")]
)
KEYS = st.one_of(NAMES, NAMES.map(lambda name: name.replace("-", "_")), st.text(max_size=12))
ADDITIONAL = st.dictionaries(
    st.sampled_from(
        [
            "ascend_compilation_config",
            "eplb_config",
            "finegrained_tp_config",
            "xlite_graph_config",
            "weight_prefetch_config",
            "layer_sharding",
            "enable_kv_nz",
            "no_such_key",
        ]
    ),
    st.one_of(
        VALUES,
        st.dictionaries(
            st.sampled_from(
                [
                    "enabled",
                    "eplb_policy_type",
                    "num_redundant_experts",
                    "dynamic_eplb",
                    "expert_map_path",
                    "mlp_tensor_parallel_size",
                    "oproj_tensor_parallel_size",
                ]
            ),
            VALUES,
        ),
    ),
)
ENV = st.dictionaries(
    st.sampled_from(
        [
            "VLLM_ASCEND_ENABLE_NZ",
            "VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE",
            "VLLM_PLUGINS",
            "PYTORCH_NPU_ALLOC_CONF",
            "HCCL_OP_EXPANSION_MODE",
            "DYNAMIC_EPLB",
        ]
    ),
    st.text(max_size=8),
)


def spec_of(fields: dict[str, Any], env: dict[str, str]) -> Spec:
    spec = Spec.model_validate({"model": {"source": {"hostPath": "/m"}}, "engine": fields})
    return spec.model_copy(update={"runtime": Runtime.model_construct(env=env)})


@given(st.dictionaries(KEYS, VALUES, max_size=6))
def test_any_config_is_rendered_as_vllm_takes_it_or_refused_in_words(
    config: dict[str, Any],
) -> None:
    given_engine = Engine(config=config)
    spec = spec_of({"config": config}, {})
    problem = engine.engine_config_refused(Input(spec, None, "m"))
    found = in_force(given_engine)
    assert in_force(found) == found
    arguments = serve_arguments("/m", "m", given_engine, Npu().count)
    if problem is None:
        parse_arguments(TABLE, command_line(arguments, {})[2:])
        Engine.model_validate(found.model_dump(exclude_none=True))
    else:
        assert problem.message.startswith("spec.engine.config: ")
        assert len(problem.message) < 6000


@given(ADDITIONAL, VALUES, ENV)
def test_any_setting_of_ascends_is_judged(
    additional: dict[str, Any], passes: Any, env: dict[str, str]
) -> None:
    compilation = {"pass_config": passes, "cudagraph_mode": passes, "mode": passes}
    spec = spec_of({"additionalConfig": additional, "compilationConfig": compilation}, env)
    for generation in (None, "A2", "310P"):
        for text in (*refusals(spec, generation), *remarks(spec, generation)):
            assert text.startswith("spec.")
