"""Graphs within the budget of streams, and contexts within those of Huawei's guide."""

from __future__ import annotations

from typing import Any

import pytest

from ascendllm.api.spec import Spec
from ascendllm.engine.ascend.ceilings import CEILINGS, ceiling_remark
from ascendllm.engine.ascend.graphs import capture_limit, captured_sizes, remarks_of_model
from ascendllm.engine.ascend.setup import Setup
from ascendllm.engine.model_numbers import ModelNumbers


def setup(count: int = 1, env: dict[str, str] | None = None, **engine: Any) -> Setup:
    given = {"model": {"source": {"hostPath": "/m"}}, "npu": {"count": count}, "engine": engine}
    return Setup.of(Spec.model_validate({**given, "runtime": {"env": env or {}}}), None)


def test_the_limits_are_those_of_vllm_ascend() -> None:
    assert capture_limit(32, 0, wide=False) == 54
    assert capture_limit(32, 1, wide=False) == 17
    # The examples of its comments have 1,920 streams; these are of the 1,800 of the release.
    assert capture_limit(48, 1, wide=False) == 11
    assert capture_limit(48, 1, wide=True) == 17


@pytest.mark.parametrize(
    ("engine", "count"),
    [
        ({}, 35),
        ({"maxNumSeqs": 8}, 4),
        ({"maxNumSeqs": 512}, 51),
        ({"maxNumSeqs": 1000}, 51),
        ({"args": ["--max-cudagraph-capture-size=4"]}, 3),
        ({"args": ["--cudagraph-capture-sizes=1", "--cudagraph-capture-sizes=2"]}, 2),
        ({"compilationConfig": {"cudagraph_capture_sizes": [1]}}, 1),
        ({"profile": "latency"}, 4),
    ],
)
def test_the_sizes_that_are_asked_for(engine: dict[str, Any], count: int) -> None:
    assert len(captured_sizes(setup(**engine))) == count


def told(given: Setup, layers: int = 32) -> list[str]:
    return list(remarks_of_model(given, ModelNumbers(num_hidden_layers=layers)))


def test_fewer_graphs_than_sizes_are_told_with_the_figures() -> None:
    (remark,) = told(setup(count=2))
    assert "17 of 35 batch sizes, since 32 layers" in remark
    assert "HCCL_OP_EXPANSION_MODE=AIV in spec.runtime.env allows 26" in remark
    (remark,) = told(setup(count=2, env={"HCCL_OP_EXPANSION_MODE": "AIV"}))
    assert "26 of 35" in remark
    assert "allows" not in remark


@pytest.mark.parametrize(
    "given",
    [
        setup(),
        setup(count=2, maxNumSeqs=8),
        setup(count=2, enforceEager=True),
        setup(count=2, compilationConfig={"cudagraph_mode": "FULL_DECODE_ONLY"}),
        setup(count=2, compilationConfig={"cudagraph_mode": "NONE"}),
        setup(count=2, args=['--speculative-config={"method":"ngram"}']),
    ],
)
def test_nothing_to_tell(given: Setup) -> None:
    assert told(given) == []
    assert list(remarks_of_model(given, ModelNumbers())) == []


@pytest.mark.parametrize(
    ("name", "npus", "memory", "length", "known"),
    [
        ("Meta-Llama-3-8B-Instruct", 1, 64, 131_072, "llama3-8b"),
        ("llama-2-7b-chat-hf", 1, 32, 16_385, "llama2-7b"),
        ("Qwen1.5-14B-Chat", 2, 32, 32_768, "qwen1.5-14b"),
        ("chatglm3-6b-32k", 1, 32, 100_000, "chatglm3-6b"),
    ],
)
def test_a_context_beyond_the_guides(
    name: str, npus: int, memory: int, length: int, known: str
) -> None:
    remark = ceiling_remark(name, npus, memory, length)
    assert remark is not None
    assert f"gives for {known} on {npus} x {memory} GB" in remark
    assert str(CEILINGS[known][npus, memory]) in remark


@pytest.mark.parametrize(
    ("name", "npus", "memory", "length"),
    [
        ("Meta-Llama-3-8B", 1, 64, 98_304),
        ("Meta-Llama-3-8B", 1, 64, None),
        ("Meta-Llama-3-8B", 2, 64, 131_072),
        ("Llama-3.1-8B", 1, 64, 131_072),
        ("Qwen2.5-7B", 1, 64, 131_072),
        ("llama-2-70b", 1, 64, 131_072),
        ("", 1, 64, 131_072),
    ],
)
def test_other_models_and_cards(name: str, npus: int, memory: int, length: int | None) -> None:
    assert ceiling_remark(name, npus, memory, length) is None


def test_the_guide_has_fifteen_models() -> None:
    assert len(CEILINGS) == 15
    assert all(len(ceilings) == 2 for ceilings in CEILINGS.values())
