"""What vLLM-Ascend refuses, ignores or turns into something else."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.api.spec import Spec
from ascendllm.engine.ascend import refusals, remarks


def spec(
    env: dict[str, str] | None = None, npu: dict[str, Any] | None = None, **engine: Any
) -> Spec:
    return Spec.model_validate(
        {
            "model": {"source": {"hostPath": "/m"}},
            "runtime": {"env": env} if env else {},
            "npu": npu or {},
            "engine": engine,
        }
    )


def additional(**keys: Any) -> dict[str, Any]:
    return {"additionalConfig": keys}


TWO = {"npu": {"count": 2}}
DECODE = {"args": ['--kv-transfer-config={"kv_role":"kv_consumer"}']}

REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    ({"env": {"VLLM_ASCEND_ENABLE_NZ": "true"}}, ["VLLM_ASCEND_ENABLE_NZ='true'", "write 1 or 0"]),
    ({"env": {"VLLM_ASCEND_ENABLE_FLASHCOMM1": ""}}, ["is no integer"]),
    (
        {"env": {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True,max_split_size_mb:256"}},
        ["max_split_size_mb and expandable_segments:True exclude each other"],
    ),
    (
        {
            "env": {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"},
            "args": ["--enable-sleep-mode"],
        },
        ["--enable-sleep-mode cannot be combined with"],
    ),
    ({"env": {"ASCEND_LAUNCH_BLOCKING": "1"}}, ["enforceEager to true"]),
    ({"env": {"VLLM_PLUGINS": "lora_resolver"}}, ["leaves out ascend"]),
    ({"env": {"VLLM_PLUGINS": ""}}, ["leaves out ascend"]),
    ({"args": ["--kv-cache-dtype=fp8"]}, ["no FP8 KV cache"]),
    ({"args": ["--kv_cache_dtype=fp8_e4m3"]}, ["no FP8 KV cache"]),
    ({"config": {"kv-cache-dtype": "fp8"}}, ["no FP8 KV cache"]),
    ({"quantization": "fp8"}, ["spec.engine.quantization fp8", "ModelSlim"]),
    ({"config": {"quantization": "modelopt_fp4"}}, ["modelopt_fp4"]),
    ({"compilationConfig": {"pass_config": {"fuse_attn_quant": True}}}, ["fuse_attn_quant"]),
    ({"compilationConfig": {"cudagraph_mode": "FASTEST"}}, ["'FASTEST' is none of", "PIECEWISE"]),
    ({"args": ["--runner=pooling"]}, ["answers no completion"]),
    ({"args": ["--convert=embed"]}, ["answers no completion"]),
    (additional(eplb_config=[]), ["eplb_config [] must be a mapping"]),
    (additional(xlite_graph_config=None), ["must be a mapping of enabled, full_mode"]),
    (additional(eplb_config={"policy": 1}), ["eplb_config.policy is unknown"]),
    (additional(eplb_config={"num_redundant_experts": -1}), ["at least 0"]),
    (additional(eplb_config={"num_redundant_experts": "1"}), ["at least 0"]),
    (additional(eplb_config={"eplb_policy_type": 4}), ["must be 0, 1, 2 or 3"]),
    (additional(eplb_config={"expert_map_path": "/m/map"}), [".json file"]),
    (additional(eplb_config={"dynamic_eplb": True}), ["DYNAMIC_EPLB=true"]),
    (
        additional(finegrained_tp_config={"mlp_tensor_parallel_size": 2}),
        ["must divide spec.engine.dataParallelSize 1"],
    ),
    (
        additional(finegrained_tp_config={"mlp_tensor_parallel_size": "2"}),
        ["must be an integer"],
    ),
    (
        additional(finegrained_tp_config={"oproj_tensor_parallel_size": 1}),
        ["kv_consumer"],
    ),
    (additional(enable_kv_nz=True), ["decode nodes"]),
    (
        additional(
            ascend_compilation_config={"enable_static_kernel": True, "enable_npugraph_ex": False}
        ),
        ["needs enable_npugraph_ex"],
    ),
    (
        additional(xlite_graph_config={"enabled": True}) | {"pipelineParallelSize": 2} | TWO,
        ["pipelineParallelSize 1"],
    ),
    (
        additional(xlite_graph_config={"enabled": True})
        | {"args": ['--speculative-config={"method":"ngram"}']},
        ["excludes --speculative-config"],
    ),
    ({"env": {"VLLM_ASCEND_ENABLE_FLASHCOMM1": "1"}}, ["needs a tensorParallelSize above 1"]),
    ({"env": {"VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE": "2"}} | TWO, ["must divide", "be smaller"]),
    (
        {"env": {"VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE": "1"}}
        | TWO
        | additional(layer_sharding=["q_b_proj"]),
        ["[o_proj] alone"],
    ),
    (
        {"env": {"VLLM_ASCEND_ENABLE_FUSED_MC2": "1"}} | additional(enable_mc2_hierarchy_comm=True),
        ["excludes spec.runtime.env VLLM_ASCEND_ENABLE_FUSED_MC2"],
    ),
    ({"npu": {"generation": "310P"}, "dtype": "bfloat16"}, ["the 310P computes in float16"]),
]


@pytest.mark.parametrize(("fields", "told"), REFUSED, ids=[str(case[0]) for case in REFUSED])
def test_refused(fields: dict[str, Any], told: list[str]) -> None:
    (problem,) = refusals(spec(**fields))
    for part in told:
        assert part in problem


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"env": {"VLLM_ASCEND_ENABLE_NZ": "2", "VLLM_ASCEND_ENABLE_MLAPO": "0"}},
        {"env": {"PYTORCH_NPU_ALLOC_CONF": "max_split_size_mb:256"}},
        {"env": {"PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True"}},
        {"env": {"ASCEND_LAUNCH_BLOCKING": "1"}, "enforceEager": True},
        {
            "env": {"ASCEND_LAUNCH_BLOCKING": "1"},
            "compilationConfig": {"cudagraph_mode": "none"},
        },
        {"env": {"ASCEND_LAUNCH_BLOCKING": "0"}},
        {"env": {"VLLM_PLUGINS": "ascend,lora_resolver"}},
        {"quantization": "ascend"},
        {"quantization": "compressed-tensors"},
        {"args": ["--kv-cache-dtype=bfloat16", "--runner=generate"]},
        {"compilationConfig": {"cudagraph_mode": "full_decode_only"}},
        additional(eplb_config={"dynamic_eplb": True}) | {"env": {"DYNAMIC_EPLB": "true"}},
        additional(enable_kv_nz=True) | DECODE,
        additional(xlite_graph_config={"enabled": True}),
        additional(finegrained_tp_config={"mlp_tensor_parallel_size": 2})
        | {"dataParallelSize": 2}
        | TWO,
        {"env": {"VLLM_ASCEND_ENABLE_FLASHCOMM1": "1"}} | TWO,
        {"env": {"VLLM_ASCEND_FLASHCOMM2_PARALLEL_SIZE": "2"}, "npu": {"count": 4}},
        {"npu": {"generation": "310P"}},
    ],
    ids=str,
)
def test_taken(fields: dict[str, Any]) -> None:
    assert refusals(spec(**fields)) == []


REMARKED: list[tuple[dict[str, Any], list[str]]] = [
    ({"env": {"VLLM_USE_ASCEND": "1"}}, ["no release", "activates itself"]),
    ({"env": {"ASCEND_OP_FUSION": "1"}}, ["ascend_fusion_config"]),
    ({"env": {"ASCEND_PARALLEL_STREAM_NUM": "4"}}, ["HCCL_OP_EXPANSION_MODE=AIV"]),
    ({"env": {"USE_VOCAB_PARALLEL": "1"}}, ["split by tensor parallelism"]),
    ({"env": {"USE_MM_ALL_REDUCE_OP": "1"}}, ["VLLM_ASCEND_ENABLE_MATMUL_ALLREDUCE=1"]),
    ({"env": {"DETAIL_TIME_LOG": "1"}}, ["VLLM_LOGGING_LEVEL=DEBUG"]),
    ({"env": {"SOC_VERSION": "ascend910b1"}}, ["never by a server"]),
    ({"env": {"VLLM_ASCEND_ENABLE_FLASHCOM1": "1"}}, ["did you mean VLLM_ASCEND_ENABLE_FLASHCOMM"]),
    ({"env": {"VLLM_ASCEND_TURBO": "1"}}, ["remove it"]),
    ({"env": {"DYNAMIC_EPLB": "yes"}}, ["counts as false"]),
    ({"env": {"HF_TOKEN": "hf_secret"}}, ["HF_TOKEN", "remove it"]),
    ({"args": ["--enable-sleep-mode"]}, ["VLLM_ASCEND_ENABLE_NZ=0"]),
    (additional(ascend_scheduler_config={}), ["ascend_scheduler_config is ignored"]),
    (additional(enable_npugraph_ex=True), ["belongs into", "ascend_compilation_config"]),
    (additional(enable_cpu_bindings=True), ["did you mean enable_cpu_binding?"]),
    (additional(xlite_graph_config={"enable": True}), ["did you mean enabled?"]),
    ({"args": ["--block-size=64"]}, ["--block-size=64 becomes 128"]),
    ({"args": ["--attention-backend=FLASHINFER"]}, ["--attention-backend has no effect"]),
    ({"args": ["--max-num-partial-prefills=4"]}, ["resets it to 1"]),
    ({"args": ["--disable-log-stats"]}, ["hangs are not seen"]),
    (
        {"compilationConfig": {"pass_config": {"fuse_allreduce_rms": True}}},
        ["ascend_compilation_config.fuse_allreduce_rms"],
    ),
    ({"compilationConfig": {"cudagraph_mode": "FULL_AND_PIECEWISE"}}, ["becomes PIECEWISE"]),
    ({"npu": {"generation": "310P"}}, ["spec.engine.maxModelLen is unset"]),
]


@pytest.mark.parametrize(("fields", "told"), REMARKED, ids=[str(case[0]) for case in REMARKED])
def test_remarked(fields: dict[str, Any], told: list[str]) -> None:
    (remark,) = remarks(spec(**fields))
    for part in told:
        assert part in remark
    assert "hf_secret" not in remark


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {
            "env": {
                "PYTORCH_NPU_ALLOC_CONF": "expandable_segments:True",
                "TASK_QUEUE_ENABLE": "1",
                "OMP_PROC_BIND": "false",
                "OMP_NUM_THREADS": "1",
            }
        },
        {"args": ["--block-size=128", "--enable-expert-parallel"]},
        {"args": ["--block-size=64", "--no-enable-chunked-prefill"], "enablePrefixCaching": False},
        additional(refresh=True, weight_prefetch_config={"enabled": True}),
        {"env": {"DYNAMIC_EPLB": "True"}},
        {"npu": {"generation": "310P"}, "maxModelLen": 4096},
    ],
    ids=str,
)
def test_nothing_to_remark(fields: dict[str, Any]) -> None:
    assert remarks(spec(**fields)) == []


SECRETS: dict[str, str] = {
    "VLLM_API_KEY": "spec.service.apiKeySecret",
    "HF_TOKEN": "tokenSecret of its source",
    "HUGGING_FACE_HUB_TOKEN": "tokenSecret of its source",
    "MODELSCOPE_API_TOKEN": "tokenSecret of its source",
    "hf_token": "tokenSecret of its source",
    "AWS_ACCESS_KEY_ID": "credentialsSecret of its source",
    "AWS_SECRET_ACCESS_KEY": "credentialsSecret of its source",
    "AWS_SESSION_TOKEN": "credentialsSecret of its source",
    "S3_SECRET_ACCESS_KEY": "credentialsSecret of its source",
    "OPENAI_API_KEY": "in its image or beside the model",
    "OPENAI_APIKEY": "in its image or beside the model",
    "openaiApiKey": "in its image or beside the model",
    "OBS_ACCESSKEY": "in its image or beside the model",
    "API_KEYS": "in its image or beside the model",
    "KEY": "in its image or beside the model",
    "KEY_2": "in its image or beside the model",
    "TOKEN2": "in its image or beside the model",
    "TOKEN_OF_THE_PROXY": "in its image or beside the model",
    "VLLM_ASCEND_TOKEN": "in its image or beside the model",
    "CLIENT_SECRET": "in its image or beside the model",
    "APP_SECRETS": "in its image or beside the model",
    "REDIS_PASSWORD": "in its image or beside the model",
    "PGPASSWORD": "in its image or beside the model",
    "MYSQL_PASSWD": "in its image or beside the model",
    "STORE_CREDENTIAL": "in its image or beside the model",
    "STORE_CREDENTIALS": "in its image or beside the model",
}
"""Variables that hold a secret, and what the warning advises."""


@pytest.mark.parametrize("version", ["v0.18.0rc1", "v9.9.9"])
@pytest.mark.parametrize(("name", "remedy"), SECRETS.items(), ids=SECRETS)
def test_a_secret_in_a_variable_is_warned_about(name: str, remedy: str, version: str) -> None:
    env = {name: "tell-nobody"}
    found = spec(env=env)
    runtime = found.runtime.model_copy(update={"version": version})
    texts = remarks(found.model_copy(update={"runtime": runtime}))
    (warning,) = [text for text in texts if remedy in text]
    assert warning.startswith(f"spec.runtime.env {name}: everybody who may read this resource")
    assert "tell-nobody" not in "".join(texts)
    assert len(warning) <= 400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TOKENIZERS_PARALLELISM", "false"),
        ("MAX_NUM_BATCHED_TOKENS", "many"),
        ("VLLM_MAX_TOKENS_PER_EXPERT_FP4_MOE", "many"),
        ("VLLM_PREFIX_CACHE_KEYS", "hash"),
        ("KEYCLOAK_REALM", "bank"),
        ("TOKENIZER_MODE", "slow"),
        ("PASSWORDLESS_LOGIN", "please"),
        ("HF_HUB_DISABLE_IMPLICIT_TOKEN", "1"),
        ("USE_API_KEY", "True"),
        ("HF_TOKEN", ""),
        ("EOS_TOKEN_ID", "128001"),
        ("MAX_TOKEN_LEN", "4096"),
        ("HF_TOKEN_PATH", "/tokens/hf"),
        ("API_KEY_FILE", "/keys/api"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/keys/google.json"),
        ("SSH_KEY_TYPE", "ed25519"),
        ("OAUTH_TOKEN_URL", "https://login.example/token"),
        ("PYTORCH_NPU_ALLOC_CONF", "expandable_segments:True"),
    ],
)
def test_other_variables_are_not(name: str, value: str) -> None:
    assert remarks(spec(env={name: value})) == []


def test_a_password_may_be_a_number() -> None:
    (warning,) = remarks(spec(env={"REDIS_PASSWORD": "123456"}))
    assert "123456" not in warning


def test_another_release_is_not_judged_by_the_rules_of_this_one() -> None:
    later = spec(args=["--kv-cache-dtype=fp8"], env={"VLLM_ASCEND_ENABLE_NZ": "true"})
    later = later.model_copy(
        update={"runtime": later.runtime.model_copy(update={"version": "v0.19.0rc1"})}
    )
    assert refusals(later) == []
    (told,) = remarks(later)
    assert "v0.19.0rc1" in told


def test_the_generation_of_the_nodes_counts_where_the_spec_leaves_it_open() -> None:
    assert remarks(spec(), "310P")
    assert refusals(spec(dtype="bfloat16"), "310P")
    assert refusals(spec(dtype="bfloat16"), "A3") == []
