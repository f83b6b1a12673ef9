#!/usr/bin/env python3
"""Makes a tiny Llama with random weights: a model folder that vLLM serves like any other.

    python3 make_model.py FOLDER [--seed N] [--no-chat-template]

Two layers, hidden size 64, 1,000 tokens, 1 MB, 2 s. The tokenizer is a byte-level BPE, trained here
on text that is made up here; " A", " B", " C" and " D" are one token each, as in every large
model's. The same seed makes the same bytes. Only the standard library is used, so that it runs
where neither torch nor transformers is.

A head has 80 dimensions: a size for which vLLM's CPU build does not choose its kernel for AMX, that
ends with SIGILL where the kernel has not granted the tile registers to the process
(vllm 0.18.0, v1/attention/backends/cpu_attn.py, `_get_attn_isa`).
"""

from __future__ import annotations

import argparse
import collections
import itertools
import json
import random
import re
import struct
import sys
from array import array
from collections.abc import Iterator
from pathlib import Path

__all__ = ["make_model"]

HIDDEN = 64
LAYERS = 2
HEADS = 2
HEAD_SIZE = 80
INNER = 128
VOCABULARY = 1000
CONTEXT = 16384

BOS, EOS = "<s>", "</s>"
SPECIAL = (BOS, EOS, "<|system|>", "<|user|>", "<|assistant|>")
LETTERS = "ABCD"

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "<|{{ message['role'] }}|>\n{{ message['content'] }}{{ eos_token }}\n"
    "{% endfor %}{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)

# GPT-2's pattern for ASCII text, which is all that is trained on.
PIECE = re.compile(r"'(?:[sdmt]|ll|ve|re)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")

Pair = tuple[str, str]


def make_model(folder: Path, *, seed: int = 0, chat_template: bool = True) -> None:
    """Write a model folder, over one that is there.

    Args:
        folder: Where; it is made.
        seed: For the text and the weights.
        chat_template: Whether the tokenizer has one.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = random.Random(seed)  # noqa: S311 - no secret
    merges = train(made_up_text(source), VOCABULARY - len(SPECIAL) - 256)
    _write(folder / "tokenizer.json", tokenizer(merges))
    _write(folder / "tokenizer_config.json", tokenizer_config(chat_template=chat_template))
    _write(folder / "config.json", config())
    _write(
        folder / "generation_config.json",
        {"bos_token_id": SPECIAL.index(BOS), "eos_token_id": SPECIAL.index(EOS)},
    )
    write_weights(folder / "model.safetensors", source)


def made_up_text(source: random.Random) -> str:
    """Questions of made-up words in MMLU's form."""
    syllables = [c + v for c in "bdfgklmnprst" for v in "aeiou"]
    words = ["".join(source.choices(syllables, k=source.randint(1, 4))) for _ in range(600)]
    common = (
        "The following are multiple choice questions (with answers) about",
        "Which of these is the right answer to the question of",
        "Question: what is the number that comes after",
        "You are a helpful assistant. Say the name of",
    )
    lines: list[str] = []
    for _ in range(800):
        about = " ".join(source.choices(words, k=source.randint(3, 9)))
        lines.append(f"{source.choice(common)} {about}? {source.randint(0, 2000)}")
        lines += [f"{letter}. {source.choice(words)}" for letter in LETTERS]
        lines.append(f"Answer: {source.choice(LETTERS)}\n")
    return "\n".join(lines)


def train(text: str, count: int) -> list[Pair]:
    """Byte-pair merges: the letters' own first, then the most frequent pair again and again.

    Args:
        text: ASCII.
        count: How many merges.
    """
    visible = byte_names()
    pieces = collections.Counter(
        tuple(visible[byte] for byte in piece.encode()) for piece in PIECE.findall(text)
    )
    merges: list[Pair] = []
    forced = [(visible[ord(" ")], letter) for letter in LETTERS]
    while len(merges) < count:
        if forced:
            best = forced.pop(0)
        else:
            pairs: collections.Counter[Pair] = collections.Counter()
            for piece, frequency in pieces.items():
                for pair in itertools.pairwise(piece):
                    pairs[pair] += frequency
            if not pairs:
                raise SystemExit(f"the text gives {len(merges)} merges, {count} are wanted")
            # The pair itself breaks ties, so that the result does not hang on an order.
            best = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(best)
        merged: collections.Counter[tuple[str, ...]] = collections.Counter()
        for piece, frequency in pieces.items():
            merged[_merge(piece, best)] += frequency
        pieces = merged
    return merges


def byte_names() -> list[str]:
    """GPT-2's visible character for each byte."""
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    names = {byte: chr(byte) for byte in visible}
    hidden = (byte for byte in range(256) if byte not in names)
    names.update({byte: chr(256 + place) for place, byte in enumerate(hidden)})
    return [names[byte] for byte in range(256)]


def tokenizer(merges: list[Pair]) -> dict[str, object]:
    """`tokenizer.json`: byte-level BPE that puts BOS in front."""
    vocabulary = {text: number for number, text in enumerate(SPECIAL)}
    for text in [*byte_names(), *("".join(pair) for pair in merges)]:
        vocabulary[text] = len(vocabulary)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    begin = {"SpecialToken": {"id": BOS, "type_id": 0}}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": number,
                "content": text,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for number, text in enumerate(SPECIAL)
        ],
        "normalizer": None,
        "pre_tokenizer": {**level, "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                begin,
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {BOS: {"id": BOS, "ids": [SPECIAL.index(BOS)], "tokens": [BOS]}},
        },
        "decoder": {**level, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [f"{left} {right}" for left, right in merges],
        },
    }


def tokenizer_config(*, chat_template: bool) -> dict[str, object]:
    """`tokenizer_config.json`."""
    written: dict[str, object] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": EOS,
        "clean_up_tokenization_spaces": False,
        "model_max_length": CONTEXT,
    }
    return {**written, "chat_template": CHAT_TEMPLATE} if chat_template else written


def config() -> dict[str, object]:
    """`config.json`."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "head_dim": HEAD_SIZE,
        "hidden_act": "silu",
        "max_position_embeddings": CONTEXT,
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "attention_bias": False,
        "mlp_bias": False,
        "torch_dtype": "float32",
        "bos_token_id": SPECIAL.index(BOS),
        "eos_token_id": SPECIAL.index(EOS),
    }


def shapes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Every tensor of the model, in a Llama's names."""
    yield "model.embed_tokens.weight", (VOCABULARY, HIDDEN)
    for layer in range(LAYERS):
        name = f"model.layers.{layer}"
        yield f"{name}.input_layernorm.weight", (HIDDEN,)
        for projection in "qkv":
            yield f"{name}.self_attn.{projection}_proj.weight", (HEADS * HEAD_SIZE, HIDDEN)
        yield f"{name}.self_attn.o_proj.weight", (HIDDEN, HEADS * HEAD_SIZE)
        yield f"{name}.post_attention_layernorm.weight", (HIDDEN,)
        yield f"{name}.mlp.gate_proj.weight", (INNER, HIDDEN)
        yield f"{name}.mlp.up_proj.weight", (INNER, HIDDEN)
        yield f"{name}.mlp.down_proj.weight", (HIDDEN, INNER)
    yield "model.norm.weight", (HIDDEN,)
    yield "lm_head.weight", (VOCABULARY, HIDDEN)


def write_weights(path: Path, source: random.Random) -> None:
    """Random weights, wide enough that answers differ clearly from one another.

    Format: https://github.com/huggingface/safetensors#format: 8 bytes of the header's length, the
    header as JSON, the tensors.
    """
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    data = bytearray()
    for name, shape in shapes():
        if len(shape) == 1:
            values = array("f", [1.0]) * shape[0]
        else:
            rows, columns = shape
            values = array("f", (source.gauss(0.0, 0.25) for _ in range(rows * columns)))
        if sys.byteorder == "big":
            values.byteswap()
        start = len(data)
        data += values.tobytes()
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, len(data)]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def _merge(piece: tuple[str, ...], pair: Pair) -> tuple[str, ...]:
    if pair[0] not in piece:
        return piece
    out: list[str] = []
    place = 0
    while place < len(piece):
        if piece[place : place + 2] == pair:
            out.append(pair[0] + pair[1])
            place += 2
        else:
            out.append(piece[place])
            place += 1
    return tuple(out)


def _write(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("folder", type=Path, help="where the model is written")
    parser.add_argument("--seed", type=int, default=0, help="for text and weights [0]")
    parser.add_argument("--no-chat-template", action="store_true", help="a base model's tokenizer")
    chosen = parser.parse_args()
    make_model(chosen.folder, seed=chosen.seed, chat_template=not chosen.no_chat_template)


if __name__ == "__main__":
    main()
