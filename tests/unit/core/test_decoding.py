"""Answers of the API server are decoded whatever is in them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm.kube.decoding import MAX_LEVELS, cut_levels, decode, decode_in_turn
from unit.core.interpreters import newest_supported, oldest_supported, python_with_packages

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    # Go replaces half a surrogate pair; raw JSON is tried below.
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
    max_leaves=40,
)


@given(JSON)
def test_json_is_decoded_as_python_decodes_it(value: Any) -> None:
    text = json.dumps(value).encode()
    assert decode(text) == json.loads(text)
    assert decode(json.dumps(value, ensure_ascii=False).encode()) == json.loads(text)


@given(JSON, st.integers(0, 6))
def test_what_is_cut_is_json_of_fewer_levels(value: Any, levels: int) -> None:
    text = json.dumps(value, ensure_ascii=False).encode()
    assert json.loads(cut_levels(text, levels)) == cut(value, levels)


def cut(value: Any, levels: int) -> Any:
    """The same by recursion."""
    if isinstance(value, dict):
        return {k: cut(v, levels - 1) for k, v in value.items()} if levels else None
    if isinstance(value, list):
        return [cut(item, levels - 1) for item in value] if levels else None
    return value


@pytest.mark.parametrize("levels", [201, 985, 1_500, 9_990, 100_000])
def test_what_is_too_deep_is_null_and_the_rest_is_there(levels: int) -> None:
    deep = b'{"a":' * levels + b"[]" + b"}" * levels
    found = decode(b'{"items":[{"name":"bad","deep":' + deep + b'},{"name":"good"}]}')
    assert [item["name"] for item in found["items"]] == ["bad", "good"]
    value, level = found["items"][0]["deep"], 3
    while value is not None:
        value, level = value["a"], level + 1
    assert level == MAX_LEVELS


def test_brackets_in_strings_count_for_nothing() -> None:
    text = json.dumps({"a": '"[{' * 500, "\\": "]}" * 500, '"': ['\\"[']}).encode()
    assert cut_levels(text, 2) == text
    assert json.loads(cut_levels(text, 1)) == {"a": '"[{' * 500, "\\": "]}" * 500, '"': None}


def test_raw_json_that_only_go_takes() -> None:
    """fieldsV1 of managedFields and data of a ControllerRevision are stored as they were sent."""
    text = b'{"a":"\\ud800","b":' + b"1" * 5_000 + b',"c":1e999,"d":1.5,"e":12}'
    assert decode(text) == {"a": "\ud800", "b": None, "c": float("inf"), "d": 1.5, "e": 12}
    assert decode(b'{"c":1e999}') == {"c": float("inf")}


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"<html>",
        b'{"a":',
        b'{"a":1',
        b'"abc',
        b"[" * 50_000,
        b"]" * 50_000,
        b'{"a' * 50_000,
        b"\xff\xfe",
        b"[1,2]]",
    ],
)
def test_what_is_not_json_is_an_error_at_once(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode(text)


async def test_a_large_text_is_decoded_beside_the_event_loop() -> None:
    text = json.dumps({"a": ["x" * 100] * 3_000}).encode()
    assert (await decode_in_turn(text))["a"][0] == "x" * 100
    assert await decode_in_turn(b"{}") == {}
    with pytest.raises(ValueError, match=r".+"):
        await decode_in_turn(text[:-1])


@pytest.mark.parametrize("version", sorted({oldest_supported(), newest_supported()}))
def test_the_deepest_objects_on_the_oldest_and_the_newest_python(version: str) -> None:
    python = python_with_packages(version)
    if python is None:
        pytest.skip(f"this machine has no Python {version}")
    program = Path(__file__).with_name("deep_values.py")
    source = Path(__file__).resolve().parents[3] / "operator"
    ran = subprocess.run(
        [python, str(program)],
        env=os.environ | {"PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert (ran.returncode, ran.stdout) == (0, "walked\n"), ran.stderr[-2000:]
