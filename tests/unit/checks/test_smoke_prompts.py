from __future__ import annotations

import json
from pathlib import Path

import pytest

from ascendllm.checks.smoke.patterns import PATTERN_CHARACTERS, check_pattern, search
from ascendllm.checks.smoke.prompts import PromptCase, read_prompts
from ascendllm.exceptions import CheckError, SpecError


def test_prompts_as_json_and_as_a_file(tmp_path: Path) -> None:
    text = json.dumps(
        [
            {"prompt": "1 + 1 ="},
            {
                "messages": [{"role": "user", "content": "안녕하세요"}],
                "maxTokens": 256,
                "expect": "[가-힣]+",
            },
        ],
        ensure_ascii=False,
    )
    wanted = (
        PromptCase("1 + 1 =", None, 64, None),
        PromptCase(None, (("user", "안녕하세요"),), 256, "[가-힣]+"),
    )
    assert read_prompts(text) == wanted
    path = tmp_path / "prompts.json"
    path.write_text("\ufeff" + text, encoding="utf-8")
    assert read_prompts(f"@{path}") == wanted


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is no JSON"),
        ("[" * 100_000, "is no JSON"),
        ("{}", "a list of 1 to 20"),
        ("[]", "a list of 1 to 20"),
        (json.dumps([{"prompt": "x"}] * 21), "a list of 1 to 20"),
        ("[1]", "prompt 1 is no object"),
        ('[{"prompt": "x"}, {}]', "prompt 2 must have exactly one"),
        ('[{"prompt": "x", "messages": []}]', "exactly one of prompt and messages"),
        ('[{"prompt": ""}]', "a text of 1 to"),
        ('[{"prompt": 3}]', "a text of 1 to"),
        ('[{"prompt": "\\ud800"}]', "a text of 1 to"),
        ('[{"prompt": "x", "max_tokens": 3}]', "'max_tokens': known are"),
        ('[{"prompt": "x", "maxTokens": 0}]', "maxTokens 0 must be 1 to 4096"),
        ('[{"prompt": "x", "maxTokens": true}]', "maxTokens True"),
        ('[{"prompt": "x", "expect": ""}]', "expect must be a regular expression"),
        ('[{"prompt": "x", "expect": 3}]', "expect must be a regular expression"),
        (json.dumps([{"prompt": "x", "expect": "a" * 257}]), "of 1 to 256 characters"),
        ('[{"messages": []}]', "messages must be 1 to 20"),
        ('[{"messages": [{"role": "tool", "content": "x"}]}]', "role system, user, assistant"),
        ('[{"messages": [{"role": "user", "content": null}]}]', "content a text"),
        ('[{"messages": "hello"}]', "messages must be"),
        ("@/nowhere/at/all.json", "can't be read"),
        ("@", "can't be read"),
    ],
)
def test_prompts_that_are_none(text: str, told: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_prompts(text)
    assert told in caught.value.message
    assert caught.value.message.startswith("--prompts")


def test_a_file_that_is_too_long(tmp_path: Path) -> None:
    path = tmp_path / "long.json"
    path.write_bytes(b" " * (1024 * 1024 + 1))
    with pytest.raises(SpecError, match="longer than 1048576 bytes"):
        read_prompts(f"@{path}")


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("Paris", "in Paris.", True),
        ("^Paris", "in Paris.", False),
        ("[가-힣]{2,}", "네, 안녕하세요!", True),
        (r"(?i)PARIS\b", "paris", True),
        ("", "anything", True),
        ("\ud800", "x", False),
    ],
)
async def test_search(pattern: str, text: str, found: bool) -> None:
    assert await search(pattern, text) is found


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|a)*$", r"(\w*)*!", "(.*a){25}$"])
async def test_a_search_that_would_not_end_is_ended(pattern: str) -> None:
    await check_pattern(pattern, "here")
    with pytest.raises(CheckError) as caught:
        await search(pattern, "a" * 60 + "!b" if "!" not in pattern else "a" * 60)
    assert caught.value.reason == "PatternTooSlow"


@pytest.mark.parametrize(
    ("pattern", "error"),
    [
        ("(", "missing ), unterminated subpattern at position 0"),
        ("(" * 128, "missing ), unterminated subpattern"),
        ("[a", "unterminated character set"),
        ("*", "nothing to repeat"),
        ("a{2,1}", "min repeat greater than max repeat"),
        ("(?P<a>x)(?P<a>y)", "redefinition of group name"),
        ("a{" + "9" * 30 + "}", "the repetition number is too large"),
        ("(?<=a+)b", "look-behind requires fixed-width pattern"),
    ],
)
async def test_a_pattern_that_does_not_compile(pattern: str, error: str) -> None:
    field = "spec.validation.smoke.prompts[3].expect"
    with pytest.raises(CheckError) as caught:
        await check_pattern(pattern, field)
    assert caught.value.reason == "BadPattern"
    assert caught.value.message.startswith(f"{field}: {pattern[:80]!r}"[:-1])
    assert error in caught.value.message
    assert "escape special characters with a backslash" in caught.value.message
    with pytest.raises(CheckError) as caught:
        await search(pattern, "text")
    assert caught.value.reason == "BadPattern"


@pytest.mark.parametrize("pattern", ["(" * 128 + ")" * 128, "[가-힣]{2,}", r"(?i)paris\b"])
async def test_a_pattern_that_compiles(pattern: str) -> None:
    await check_pattern(pattern, "here")


async def test_a_pattern_that_compiles_too_slowly() -> None:
    """Python walks every character of each range: half a second of CPU time on a fast machine."""
    pattern = "(?i)[" + "".join(f"{chr(0x100 + i)}-\uffff" for i in range(83)) + "]"
    assert len(pattern) <= PATTERN_CHARACTERS
    with pytest.raises(CheckError) as caught:
        await check_pattern(pattern, "here", seconds=0.05)
    assert caught.value.reason == "PatternTooSlow"
    assert caught.value.message.startswith("here: ")
