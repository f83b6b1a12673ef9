"""Whether a model fits, by its numbers; figures of models that the seeds name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.api.engine import Engine
from ascendllm.engine.fit import GIB, Layout, bytes_of_token, misfit
from ascendllm.engine.model_numbers import ModelNumbers

CARD = 64 * GIB

LLAMA_8B: dict[str, Any] = {
    "model_type": "llama",
    "hidden_size": 4096,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 131_072,
    "rope_type": "llama3",
    "torch_dtype": "bfloat16",
    "weight_bytes": 16_060_522_240,
}
LLAMA_70B = LLAMA_8B | {
    "hidden_size": 8192,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "weight_bytes": 141_107_412_992,
}
LLAMA2_7B = LLAMA_8B | {
    "num_key_value_heads": 32,
    "max_position_embeddings": 4096,
    "rope_type": "default",
    "weight_bytes": 13_476_839_424,
}
QWEN_14B = LLAMA_8B | {"num_attention_heads": 40, "hidden_size": 5120}
DEEPSEEK: dict[str, Any] = {
    "model_type": "deepseek_v3",
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "kv_lora_rank": 512,
    "qk_rope_head_dim": 64,
    "weight_bytes": 688_586_727_753,
    "max_position_embeddings": 163_840,
}


def numbers(given: dict[str, Any], **changes: Any) -> ModelNumbers:
    found = ModelNumbers.read(given | changes)
    assert found is not None
    return found


def told(
    given: dict[str, Any],
    layout: Layout,
    memory: int | None = CARD,
    env: dict[str, str] | None = None,
    **engine: Any,
) -> str | None:
    found = misfit(
        numbers(given), Engine.model_validate(engine), layout, memory, {} if env is None else env
    )
    return None if found is None else f"{found.reason}: {found.message}"


def test_bytes_of_a_token_are_those_of_the_seeds() -> None:
    assert bytes_of_token(numbers(LLAMA_8B), Layout(1)) == 128 * 1024
    assert bytes_of_token(numbers(LLAMA_70B), Layout(1)) == 320 * 1024
    assert bytes_of_token(numbers(LLAMA_70B), Layout(4)) == 80 * 1024
    assert bytes_of_token(numbers(LLAMA2_7B), Layout(1)) == 512 * 1024
    assert bytes_of_token(numbers(LLAMA_70B), Layout(4, pipeline=2)) == 40 * 1024
    assert bytes_of_token(numbers(LLAMA_8B), Layout(16)) == 16 * 1024, "a head is on two NPUs"
    assert bytes_of_token(numbers(DEEPSEEK), Layout(16)) == 61 * 576 * 2, "the same on every NPU"
    assert bytes_of_token(numbers(LLAMA_8B, quantization="ascend"), Layout(1)) == 64 * 1024
    assert bytes_of_token(numbers(LLAMA_8B, model_type="mamba"), Layout(1)) is None
    assert bytes_of_token(numbers(LLAMA_8B, mixed_layers=True), Layout(1)) is None


MISFITS: list[tuple[dict[str, Any], Layout, dict[str, Any], list[str]]] = [
    (QWEN_14B, Layout(16), {}, ["ParallelismMismatch", "40 attention heads", "1, 2, 4, 8"]),
    (LLAMA_8B, Layout(3), {}, ["ParallelismMismatch", "tensorParallelSize 3"]),
    (
        LLAMA_8B | {"num_attention_heads": 48, "num_key_value_heads": 8},
        Layout(12),
        {},
        ["8 heads of keys and values", "1, 2, 4, 8, 16, 24, 48"],
    ),
    (LLAMA_8B, Layout(1, pipeline=33), {}, ["32 layers", "pipelineParallelSize 33"]),
    (
        LLAMA2_7B,
        Layout(1),
        {"maxModelLen": 8192},
        ["ContextTooLong", "maxModelLen 8192", "4096 tokens", "--hf-overrides"],
    ),
    (
        LLAMA_8B | {"quantization": "fp8"},
        Layout(1),
        {},
        ["UnsupportedQuantization", "by fp8", "ModelSlim"],
    ),
    (
        LLAMA_70B,
        Layout(2),
        {"maxModelLen": 4096},
        ["ModelDoesNotFit", "131.4 GiB, 65.7 GiB on each of 2", "57.6 GiB", "count, 4 or more"],
    ),
    (LLAMA_70B, Layout(1), {}, ["131.4 GiB on each of 1 NPUs"]),
    (
        LLAMA_70B,
        Layout(4),
        {},
        ["the model's own context 131072 takes 10.0 GiB"],
    ),
    (
        LLAMA2_7B | {"max_position_embeddings": 131_072},
        Layout(1),
        {"maxModelLen": 126_976},
        ["maxModelLen 126976 takes 62.0 GiB", "512 KiB a token", "less than 92160"],
    ),
]


@pytest.mark.parametrize(("model", "layout", "engine", "parts"), MISFITS)
def test_a_misfit_is_told_with_its_figures(
    model: dict[str, Any], layout: Layout, engine: dict[str, Any], parts: list[str]
) -> None:
    memory = 42 * GIB if "own context" in parts[0] else CARD
    found = told(model, layout, memory, **engine)
    assert found is not None
    for part in parts:
        assert part in found


@pytest.mark.parametrize(
    ("model", "layout", "engine"),
    [
        (LLAMA_8B, Layout(1), {"maxModelLen": 4096}),
        (LLAMA_8B, Layout(1), {}),
        (LLAMA_70B, Layout(4), {"maxModelLen": 32_768}),
        (LLAMA_8B, Layout(16), {"maxModelLen": 4096}),
        (DEEPSEEK, Layout(16), {"maxModelLen": 32_768}),
        (DEEPSEEK, Layout(4, data=4, experts=True), {"maxModelLen": 4096}),
        (LLAMA_8B | {"rope_type": "yarn"}, Layout(1), {"maxModelLen": 262_144}),
        (LLAMA_8B | {"quantization": "ascend"}, Layout(1), {}),
        (LLAMA2_7B, Layout(1), {"maxModelLen": 8192, "args": ['--hf-overrides={"a":1}']}),
        (LLAMA_70B, Layout(2), {"args": ["--cpu-offload-gb=100"]}),
    ],
)
def test_what_may_fit_is_left_to_the_server(
    model: dict[str, Any], layout: Layout, engine: dict[str, Any]
) -> None:
    assert told(model, layout, **engine) is None


def test_without_the_size_of_a_card_only_what_needs_none_is_judged() -> None:
    assert told(LLAMA_70B, Layout(1), None) is None
    assert told(LLAMA_70B, Layout(3), None) is not None


def test_the_user_may_stretch_the_context() -> None:
    allowed = {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "1"}
    assert told(LLAMA2_7B, Layout(1), env=allowed, maxModelLen=8192) is None
    off = {"VLLM_ALLOW_LONG_MAX_MODEL_LEN": "0"}
    assert told(LLAMA2_7B, Layout(1), env=off, maxModelLen=8192) is not None


def test_numbers_are_cleaned() -> None:
    assert ModelNumbers.read(None) is None
    assert ModelNumbers.read([]) is None
    assert ModelNumbers.read({}) is None
    assert ModelNumbers.read({"hidden_size": "4096", "num_hidden_layers": True}) is None
    assert ModelNumbers.read({"hidden_size": 2**60, "num_hidden_layers": -1}) is None
    found = ModelNumbers.read({"model_type": "x" * 100, "torch_dtype": "a\nb", "mixed_layers": 1})
    assert found == ModelNumbers(model_type="x" * 40)


NUMBER = st.one_of(st.none(), st.integers(-4, 2**52), st.text(max_size=3), st.booleans())


@given(
    st.fixed_dictionaries(
        {}, optional={key: NUMBER for key in (*LLAMA_8B, "kv_lora_rank", "head_dim")}
    ),
    st.integers(1, 64),
    st.integers(1, 64),
)
def test_no_numbers_crash(given_numbers: dict[str, Any], tensor: int, pipeline: int) -> None:
    model = ModelNumbers.read({**given_numbers, "model_type": "llama"})
    assert model is not None
    found = misfit(model, Engine(), Layout(tensor, pipeline), CARD, {})
    assert found is None or len(found.message) < 2000
