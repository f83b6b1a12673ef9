"""What only the operator can see: each refusal names field, value and remedy."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.api.sources import DataSource
from ascendllm.decide.policies import Input, first_problem
from unit.core.stage import SETTINGS, spec_of

ADAPTER = {"name": "legal", "source": {"pvc": {"claimName": "adapters", "path": "legal"}}}
BASELINE = {"value": 66.7, "average": "macro"}

REFUSED: list[tuple[dict[str, Any], str, list[str]]] = [
    (
        {"model": {"source": {"hostPath": "/opt/atomgit2/x"}}},
        "HostPathNotAllowed",
        ["/opt/atomgit2/x"],
    ),
    ({"model": {"source": {"hostPath": "/opt"}}}, "HostPathNotAllowed", ["/opt/atomgit", "pvc"]),
    ({"model": {"source": {"hostPath": "/opt/atomgit/../../etc"}}}, "HostPathNotAllowed", ["/etc"]),
    ({"model": {"source": {"hostPath": "//opt/atomgit"}}}, "HostPathNotAllowed", ["//opt"]),
    (
        {"validation": {"mmlu": {"data": {"hostPath": "/data"}}}},
        "HostPathNotAllowed",
        ["spec.validation.mmlu.data.hostPath /data"],
    ),
    (
        {"nodes": 2, "validation": {"dummy": {}}},
        "InvalidDummy",
        ["spec.validation.dummy", "spec.nodes is 2"],
    ),
    ({"npu": {"count": 3}, "engine": {"pipelineParallelSize": 2}}, "ParallelismMismatch", ["3"]),
    ({"engine": {"tensorParallelSize": 2}}, "ParallelismMismatch", ["tensorParallelSize 2", "1"]),
    ({"engine": {"args": ["--port=1"]}}, "InvalidEngineArgs", ["--port=1", "set by the operator"]),
    (
        {"engine": {"args": ["--max-model-len=1"]}},
        "InvalidEngineArgs",
        ["spec.engine.maxModelLen"],
    ),
    ({"engine": {"args": ["--max-modellen=1"]}}, "InvalidEngineArgs", ["--max-model-len"]),
    ({"engine": {"args": ["--block-size=x"]}}, "InvalidEngineArgs", ["--block-size"]),
    (
        {"engine": {"config": {"max-numseqs": 1}}},
        "InvalidEngineArgs",
        ["spec.engine.config: --max-numseqs=1", "--max-num-seqs"],
    ),
    (
        {"engine": {"config": {"block-size": "x"}}},
        "InvalidEngineArgs",
        ["--block-size=x", "an integer"],
    ),
    (
        {"engine": {"config": {"block-size": 128}, "args": ["--block-size=128"]}},
        "InvalidEngineArgs",
        ["spec.engine.config: --block-size=128: given twice, before as --block-size=128"],
    ),
    (
        {"engine": {"config": {"max-num-seqs": 8}, "maxNumSeqs": 16}},
        "InvalidEngineArgs",
        ["max-num-seqs: spec.engine.maxNumSeqs sets it too: remove one"],
    ),
    (
        {"engine": {"config": {"max-num-seqs": 8, "max_num_seqs": 9}}},
        "InvalidEngineArgs",
        ["max_num_seqs: given twice, before as max-num-seqs"],
    ),
    (
        {"engine": {"config": {"max-num-seqs": "many"}}},
        "InvalidEngineArgs",
        ["'many' cannot be read as the value of spec.engine.maxNumSeqs"],
    ),
    (
        {"engine": {"config": {"max-num-seqs": 0}}},
        "InvalidEngineArgs",
        ["greater than or equal to 1", "not 0", "spec.engine.maxNumSeqs"],
    ),
    (
        {"engine": {"config": {"dtype": "int4"}}},
        "InvalidEngineArgs",
        ["not 'int4'", "spec.engine.dtype"],
    ),
    (
        {"engine": {"config": {"compilation-config.mode": 3}}},
        "InvalidEngineArgs",
        ["spec.engine.compilationConfig: set that instead"],
    ),
    ({"engine": {"config": {"port": 1}}}, "InvalidEngineArgs", ["set by the operator"]),
    ({"engine": {"config": {"api-key": "a"}}}, "InvalidEngineArgs", ["readable by everyone"]),
    ({"engine": {"config": {"--seed": 1}}}, "InvalidEngineArgs", ["without its dashes"]),
    ({"engine": {"config": {"tokenizer=x": 1}}}, "InvalidEngineArgs", ["without its dashes"]),
    ({"engine": {"config": {"tokenizer": None}}}, "InvalidEngineArgs", ["the value is missing"]),
    (
        {"engine": {"config": {f"unknown-{n}": 1 for n in range(8)}}},
        "InvalidEngineArgs",
        ["unknown-4", "and 3 more"],
    ),
    (
        {"engine": {"config": {"speculative-config": {"a": "x" * 66_000}}}},
        "InvalidEngine",
        ["spec.engine.config is 660", "bytes of JSON"],
    ),
    (
        {"engine": {"loras": [{"name": "a", "source": {"hostPath": "/adapters/a"}}]}},
        "HostPathNotAllowed",
        ["spec.engine.loras[a].source.hostPath /adapters/a"],
    ),
    (
        {"engine": {"loras": [ADAPTER, {**ADAPTER, "name": "llama"}]}},
        "InvalidEngine",
        ["spec.engine.loras[1].name llama", "rename the adapter"],
    ),
    (
        {"engine": {"loras": [ADAPTER], "args": ["--no-enable-lora"]}},
        "InvalidEngine",
        ["--no-enable-lora excludes spec.engine.loras"],
    ),
    (
        {"engine": {"args": ["--lora-modules=a=/a"]}},
        "InvalidEngineArgs",
        ["belongs to spec.engine.loras"],
    ),
    (
        {"engine": {"config": {"lora-modules": [{"name": "a", "path": "/a"}]}}},
        "InvalidEngineArgs",
        ["spec.engine.loras: set that instead"],
    ),
    (
        {"npu": {"count": 2}, "engine": {"config": {"pipeline-parallel-size": 3}}},
        "ParallelismMismatch",
        ["pipelineParallelSize 3"],
    ),
    ({"engine": {"config": {"kv-cache-dtype": "fp8"}}}, "InvalidEngine", ["no FP8 KV cache"]),
    ({"engine": {"quantization": "fp8"}}, "InvalidEngine", ["spec.engine.quantization fp8"]),
    (
        {"runtime": {"env": {"VLLM_ASCEND_ENABLE_NZ": "true"}}},
        "InvalidEngine",
        ["VLLM_ASCEND_ENABLE_NZ='true'"],
    ),
    (
        {"engine": {"args": ["--hf-token=hf_x"]}},
        "InvalidEngineArgs",
        ["a token in an argument list is readable by everyone"],
    ),
    (
        {
            "engine": {
                "args": ["--no-enable-chunked-prefill"],
                "maxModelLen": 4096,
                "maxNumBatchedTokens": 2048,
            }
        },
        "InvalidEngine",
        ["maxNumBatchedTokens 2048 is less than maxModelLen 4096", "chunked"],
    ),
    (
        {"validation": {"bench": {}}, "engine": {"config": {"max-model-len": 255}}},
        "InvalidBench",
        ["255"],
    ),
    (
        {"engine": {"maxNumSeqs": 9, "maxNumBatchedTokens": 8}},
        "InvalidEngine",
        ["maxNumBatchedTokens 8", "maxNumSeqs 9"],
    ),
    (
        {"validation": {"bench": {"dataset": {"sharegpt": {"hostPath": "/data"}}}}},
        "HostPathNotAllowed",
        ["spec.validation.bench.dataset.sharegpt.hostPath /data"],
    ),
    (
        {"validation": {"mmlu": {"reference": {"data": {"hostPath": "/data"}}}}},
        "HostPathNotAllowed",
        ["spec.validation.mmlu.reference.data.hostPath /data"],
    ),
    (
        {"validation": {"evals": [{"task": "a"}, {"task": "b", "data": {"hostPath": "/data"}}]}},
        "HostPathNotAllowed",
        ["spec.validation.evals[1].data.hostPath /data"],
    ),
    (
        {"validation": {"parity": {"reference": {"data": {"hostPath": "/data"}}}}},
        "HostPathNotAllowed",
        ["spec.validation.parity.reference.data.hostPath /data"],
    ),
    (
        {"validation": {"bench": {}}, "engine": {"maxModelLen": 255}},
        "InvalidBench",
        ["128 + 128", "inputTokens + outputTokens", "255"],
    ),
    (
        {"validation": {"bench": {"prefixTokens": 1}}, "engine": {"maxModelLen": 256}},
        "InvalidBench",
        ["1 + 128 + 128", "prefixTokens + inputTokens + outputTokens"],
    ),
    (
        {"validation": {"bench": {"compareTo": {"name": "llama"}}}},
        "InvalidBench",
        ["compareTo.name llama", "regression"],
    ),
    (
        {"validation": {"mmlu": {"baseline": BASELINE | {"protocol": "original"}}}},
        "InvalidBaseline",
        ["baseline.protocol is original", "lmEval", "acrossProtocols"],
    ),
    (
        {"validation": {"mmlu": {"baseline": BASELINE | {"shots": 0}}}},
        "InvalidBaseline",
        ["baseline.shots is 0", "5"],
    ),
]


@pytest.mark.parametrize(("fields", "reason", "told"), REFUSED)
def test_refused(fields: dict[str, Any], reason: str, told: list[str]) -> None:
    problem = first_problem(Input(spec_of(**fields), SETTINGS, "llama"))
    assert problem is not None
    assert problem.reason == reason
    for part in told:
        assert part in problem.message


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"model": {"source": {"hostPath": "/opt/atomgit"}}},
        {"model": {"source": {"pvc": {"claimName": "a"}}}},
        {"npu": {"count": 8}, "engine": {"pipelineParallelSize": 2, "dataParallelSize": 2}},
        {"engine": {"args": ["--block-size=128", "--enable-expert-parallel"]}},
        {"engine": {"args": ["--cudagraph-capture-sizes=1", "--cudagraph-capture-sizes=2"]}},
        {"engine": {"config": {"async-scheduling": True, "no-enable-prefix-caching": True}}},
        {"engine": {"config": {"gpu-memory-utilization": 0.8, "seed": 0, "lora-dtype": "auto"}}},
        {"engine": {"profile": "latency", "maxNumSeqs": 4096}},
        {"engine": {"loras": [ADAPTER, {**ADAPTER, "name": "a.b"}], "args": ["--enable-lora"]}},
        {"engine": {"profile": "throughput", "maxNumBatchedTokens": 8}},
        {"runtime": {"version": "v0.99.0"}, "engine": {"args": ["--of-the-future=1"]}},
        {"runtime": {"version": "v0.99.0"}, "engine": {"config": {"of-the-future": [1, 2]}}},
        {"validation": {"bench": {"prefixTokens": 0}}, "engine": {"maxModelLen": 256}},
        {"validation": {"bench": {"compareTo": {"name": "other"}}}},
        {
            "validation": {"bench": {"dataset": {"sharegpt": {"image": "a:1"}}}},
            "engine": {"maxModelLen": 127},
        },
        {"validation": {"mmlu": {"baseline": BASELINE | {"protocol": "lmEval", "shots": 5}}}},
        {"validation": {"mmlu": {"baseline": BASELINE | {"shots": 0, "acrossProtocols": True}}}},
        {"validation": {"parity": {"reference": {"data": {"hostPath": "/opt/atomgit/r"}}}}},
        {"validation": {"mmlu": {"data": {"image": "x:1"}}}},
    ],
)
def test_acted_on(fields: dict[str, Any]) -> None:
    assert first_problem(Input(spec_of(**fields), SETTINGS)) is None


def test_no_data_set_anywhere() -> None:
    bare = SETTINGS.model_copy(update={"mmlu_data": None})
    problem = first_problem(Input(spec_of(), bare))
    assert problem is not None
    assert problem.reason == "NoDataset"
    own = spec_of(validation={"mmlu": {"data": {"image": "x:1"}}})
    assert first_problem(Input(own, bare)) is None
    assert first_problem(Input(spec_of(validation=None), bare)) is None


def test_without_settings_nothing_of_theirs_is_judged() -> None:
    outside = spec_of(model={"source": {"hostPath": "/etc"}})
    assert first_problem(Input(outside, None)) is None


def test_a_reference_is_read_from_the_store_of_the_operators_data() -> None:
    def problem(**reference: Any) -> str | None:
        data = DataSource.model_validate({"s3": {"uri": "s3://mmlu/", "region": "cn-north-4"}})
        settings = SETTINGS.model_copy(update={"mmlu_data": data})
        spec = spec_of(validation={"mmlu": {"reference": {"data": reference}}})
        found = first_problem(Input(spec, settings))
        return None if found is None else f"{found.reason}: {found.message}"

    told = problem(s3={"uri": "s3://golden/"})
    assert told is not None
    assert told.startswith("InvalidReference: spec.validation.mmlu.reference.data.s3")
    assert "mmluData" in told
    assert problem(s3={"uri": "s3://golden/", "region": "cn-north-4"}) is None
    assert problem(image="golden:1") is None
