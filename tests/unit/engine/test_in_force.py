"""Fields, then `config`, then `profile`: what takes effect, and what is rendered of it."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ascendllm.api.engine import Engine
from ascendllm.engine.arguments import serve_arguments, written
from ascendllm.engine.in_force import in_force
from ascendllm.engine.options import load
from ascendllm_simulator.option_parser import parse_arguments

HOPPER = """
kv-cache-dtype: fp8
async-scheduling: true
no-enable-prefix-caching: true
max-num-batched-tokens: 8192
"""


def engine(**fields: Any) -> Engine:
    return Engine.model_validate(fields)


def rendered(**fields: Any) -> list[str]:
    return serve_arguments("/m", "m", engine(**fields), 1)


def test_what_is_set_in_fields_alone_is_untouched() -> None:
    given = engine(maxNumSeqs=4, args=["--block-size=128"])
    assert in_force(given) is given


def test_the_config_file_of_seed_003_fills_fields_and_args() -> None:
    found = in_force(engine(config=yaml.safe_load(HOPPER)))
    assert found.max_num_batched_tokens == 8192
    assert found.enable_prefix_caching is False
    assert found.args == ["--kv-cache-dtype=fp8", "--async-scheduling"]
    assert in_force(found) == found


@pytest.mark.parametrize(
    ("key", "value", "attribute", "expected"),
    [
        ("max_num_seqs", 16, "max_num_seqs", 16),
        ("max-model-len", "8K", "max_model_len", 8192),
        ("max-model-len", "8k", "max_model_len", 8000),
        ("gpu-memory-utilization", 0.85, "memory_utilization", 0.85),
        ("enforce-eager", True, "enforce_eager", True),
        ("enforce-eager", False, "enforce_eager", False),
        ("no-enforce-eager", True, "enforce_eager", False),
        ("no_trust_remote_code", False, "trust_remote_code", True),
        ("compilation-config", '{"mode": 3}', "compilation_config", {"mode": 3}),
        ("compilation-config", {"mode": 3}, "compilation_config", {"mode": 3}),
        ("additional_config", {"refresh": True}, "additional_config", {"refresh": True}),
        ("tensor-parallel-size", 2, "tensor_parallel_size", 2),
        ("seed", 0, "seed", 0),
    ],
)
def test_an_entry_with_a_field_is_that_field(
    key: str, value: object, attribute: str, expected: object
) -> None:
    found = in_force(engine(config={key: value}))
    assert getattr(found, attribute) == expected
    assert found.args is None


@pytest.mark.parametrize(
    ("key", "value", "arguments"),
    [
        ("async-scheduling", True, ["--async-scheduling"]),
        ("async_scheduling", False, ["--no-async-scheduling"]),
        ("no-async-scheduling", False, ["--async-scheduling"]),
        ("disable-log-stats", False, []),
        ("disable-log-stats", True, ["--disable-log-stats"]),
        ("block-size", 128, ["--block-size=128"]),
        ("cudagraph-capture-sizes", [1, 2], ["--cudagraph-capture-sizes", "1", "2"]),
        ("allowed-origins", ["*"], ['--allowed-origins=["*"]']),
        (
            "speculative-config",
            {"method": "ngram", "num_speculative_tokens": 3},
            ['--speculative-config={"method":"ngram","num_speculative_tokens":3}'],
        ),
        ("attention-config.backend", "X", ["--attention-config.backend=X"]),
        ("middleware", ["a", "b"], ["--middleware=a", "--middleware=b"]),
    ],
)
def test_an_entry_without_a_field_is_an_argument(
    key: str, value: object, arguments: list[str]
) -> None:
    found = rendered(config={key: value})
    assert found[len(found) - len(arguments) :] == arguments
    assert found[: len(found) - len(arguments)] == rendered()
    assert parse_arguments(load(), found[2:])


def test_a_field_stands_before_the_profile() -> None:
    found = in_force(engine(profile="throughput", maxNumSeqs=64))
    assert (found.max_num_seqs, found.max_num_batched_tokens) == (64, 16_384)


def test_the_config_stands_before_the_profile() -> None:
    found = in_force(engine(profile="latency", config={"max-num-seqs": 2}))
    assert (found.max_num_seqs, found.max_num_batched_tokens) == (2, 2048)


@pytest.mark.parametrize(
    ("profile", "expected"),
    [("latency", (8, 2048)), ("balanced", (128, 8192)), ("throughput", (512, 16_384))],
)
def test_a_profile_fills_two_fields_and_no_other(profile: str, expected: tuple[int, int]) -> None:
    found = in_force(engine(profile=profile))
    assert (found.max_num_seqs, found.max_num_batched_tokens) == expected
    filled = {"max_num_seqs": None, "max_num_batched_tokens": None}
    assert found.model_copy(update=filled) == Engine()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"maxNumBatchedTokens": 256}, (256, 256)),
        ({"maxNumSeqs": 20_000}, (20_000, None)),
        ({"args": ["--no-enable-chunked-prefill"]}, (512, None)),
    ],
)
def test_a_profile_makes_no_impossible_step(
    fields: dict[str, Any], expected: tuple[int, int | None]
) -> None:
    found = in_force(engine(profile="throughput", **fields))
    assert (found.max_num_seqs, found.max_num_batched_tokens) == expected


def test_adapters_are_named_by_their_folders() -> None:
    loras = [{"name": name, "source": {"hostPath": f"/adapters/{name}"}} for name in ("a", "b")]
    expected = ["--enable-lora", "--lora-modules", "a=/loras/a", "b=/loras/b"]
    assert rendered(loras=loras)[-4:] == expected
    assert rendered(loras=loras[:1])[-1] == "--lora-modules=a=/loras/a"
    assert rendered(loras=loras, args=["--enable-lora"]).count("--enable-lora") == 1
    assert parse_arguments(load(), rendered(loras=loras)[2:])["lora_modules"] == [
        {"name": "a", "path": "/loras/a"},
        {"name": "b", "path": "/loras/b"},
    ]


def test_the_310p_computes_in_float16_without_graphs() -> None:
    found = in_force(engine(), "310P")
    assert (found.dtype, found.enforce_eager) == ("float16", True)
    assert in_force(engine(dtype="half", enforceEager=False), "310P").enforce_eager is False
    assert in_force(engine(), "A3") == engine()


def test_values_of_one_option_stand_behind_its_one_mention() -> None:
    args = ["--a", "--cudagraph-capture-sizes=1", "--b=1", "--cudagraph_capture_sizes=2"]
    assert written(args) == ["--a", "--cudagraph-capture-sizes", "1", "2", "--b=1"]
    assert written(args[:3]) == args[:3]
    found = parse_arguments(load(), ["/m", *written(["--cudagraph-capture-sizes=1"] * 3)])
    assert found["cudagraph_capture_sizes"] == [1, 1, 1]
