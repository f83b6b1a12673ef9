from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ascendllm_simulator import tokenizer
from ascendllm_simulator.tokenizer import BOS, VOCABULARY, count, decode, encode

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


@given(TEXT)
def test_ids_are_reversible(text: str) -> None:
    ids = encode(text)
    assert decode(ids) == text
    assert all(0 <= number < VOCABULARY for number in ids)
    assert encode(text, bos=True) == [BOS, *ids]


@given(st.integers(0, VOCABULARY - 1))
def test_every_id_has_a_text_that_leads_back(number: int) -> None:
    text = decode([number])
    assert decode(encode(text)) == text
    if number >= 4096:
        assert count(text) == 1


@pytest.mark.parametrize("letter", "ABCD")
def test_letters_are_one_token_with_and_without_space(letter: str) -> None:
    assert len(encode(f" {letter}")) == len(encode(letter)) == 1
    assert encode(f" {letter}") != encode(letter)
    stem = encode("choose\nAnswer:")
    assert encode(f"choose\nAnswer: {letter}") == [*stem, *encode(f" {letter}")]


@pytest.mark.parametrize("number", [1, 2, 127, 128, 4096])
def test_prompts_of_an_exact_count(number: int) -> None:
    assert count(" word" * number) == number
    assert count(" word" * (number - 1), bos=True) == number


@given(TEXT, TEXT)
def test_paragraphs_do_not_change_each_other(first: str, second: str) -> None:
    assert encode(f"{first}\n\n{second}") == [*encode(first), 10, 10, *encode(second)]


def test_special_tokens_written_out() -> None:
    assert encode("<|begin_of_text|>a<|eot_id|>") == [BOS, *encode("a"), 260]
    assert decode([BOS, 260, *encode("a")], skip_special=True) == "a"
    assert decode([BOS]) == "<|begin_of_text|>"


def test_broken_utf8_is_replaced() -> None:
    assert decode([0xC3]) == "�"
    assert count("é") == 2


def test_two_texts_never_share_ids() -> None:
    pieces = ["a", " a", "A", " A", "ab", "AB", "Ab", "0", " 0", "00", ".", " .", "\n", "  "]
    assert len({tuple(encode(piece)) for piece in pieces}) == len(pieces)
    assert tokenizer.encode_special("<|eot_id|>") == 260
