"""MMLU by every protocol against `ascendllm-simulator`: the chosen accuracy comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ascendllm.checks.mmlu.protocols import PROTOCOLS
from unit.checks.test_against_simulator import mmlu, model, simulated, small

__all__ = ["model", "small"]

METHODS = {
    "lmEval": "allowedTokens",
    "original": "allowedTokens",
    "metaInstruct": "generated",
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_the_chosen_accuracy_comes_back_by_each_protocol(model: Path, protocol: str) -> None:
    async with simulated(model, accuracy=66.3, chatTemplate=True) as endpoint:
        result = await mmlu(endpoint, model, protocol=protocol)
    figures = result.figures
    assert result.result == "Passed", result.message
    assert (figures["correct"], figures["questions"]) == (756, 1140)
    assert (figures["protocol"], figures["method"]) == (protocol, METHODS[protocol])


async def test_without_tokenize_the_same_letters_come_by_another_way(
    model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with simulated(model, failure={"mode": "noTokenize"}) as endpoint:
        result = await mmlu(endpoint, model)
    assert (result.figures["method"], result.figures["correct"]) == ("structuredOutputs", 756)
    assert "/tokenize" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("protocol", "failure", "reason"),
    [
        ("lmEval", {"mode": "badLogprobs", "after": 7}, "BadLogprobs"),
        ("lmEval", {"mode": "noLogprobs", "after": 7}, "MissingLogprobs"),
        ("lmEval", {"mode": "wrongUsage", "after": 7}, "WrongTokenCount"),
        ("metaInstruct", {"mode": "wrongUsage", "after": 7, "offset": 9}, "WrongTokenCount"),
        ("metaInstruct", {"mode": "noLetter", "after": 7}, "Extraction"),
        ("metaInstruct", {"mode": "dieAfter", "requests": 20, "keepAlive": True}, "ServerError"),
        ("original", {"mode": "noTokenize"}, "NoTokenize"),
    ],
)
async def test_what_goes_wrong_in_the_middle_is_an_error(
    small: Path, model: Path, protocol: str, failure: dict[str, Any], reason: str
) -> None:
    async with simulated(model, accuracy=100, chatTemplate=True, failure=failure) as endpoint:
        result = await mmlu(endpoint, model, data=small, protocol=protocol)
    assert (result.result, result.reason) == ("Error", reason), result.message
    assert "macroAverage" not in result.figures


async def test_a_base_model_has_no_letters_to_generate(model: Path, small: Path) -> None:
    async with simulated(model, chatTemplate=False) as endpoint:
        result = await mmlu(endpoint, model, data=small, protocol="metaInstruct")
    assert (result.result, result.reason) == ("Error", "NoChatTemplate")
