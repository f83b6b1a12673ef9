"""Models that are small and real: a configuration, a tokenizer, shards with an index."""

from __future__ import annotations

import json

CONFIG = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "torch_dtype": "bfloat16",
}


def safetensors(name: str, numbers: int, seed: int = 0) -> bytes:
    """One tensor of so many bytes; no two files are alike."""
    header = json.dumps({name: {"dtype": "U8", "shape": [numbers], "data_offsets": [0, numbers]}})
    block = bytes((seed + number * 7) % 251 for number in range(4096))
    data = (block * (numbers // len(block) + 1))[:numbers]
    return len(header).to_bytes(8, "little") + header.encode() + data


def model(shard_bytes: int = 300_000, shards: int = 2) -> dict[str, bytes]:
    """The files of a repository, with what a real one has besides."""
    names = [f"model-{n + 1:05}-of-{shards:05}.safetensors" for n in range(shards)]
    files = {name: safetensors(f"t{n}", shard_bytes, n) for n, name in enumerate(names)}
    index = {"metadata": {}, "weight_map": {f"t{n}": name for n, name in enumerate(names)}}
    return {
        ".gitattributes": b"*.safetensors filter=lfs",
        "README.md": b"# A model\n",
        "config.json": json.dumps(CONFIG).encode(),
        "tokenizer.json": json.dumps({"version": "1.0", "pad": "x" * 3000}).encode(),
        "model.safetensors.index.json": json.dumps(index).encode(),
        "original/consolidated.00.pth": b"p" * 5000,
        "pytorch_model.bin": b"b" * 5000,
        "code/modeling.py": b"pass\n",
        **files,
    }


def adapter(weight_bytes: int = 30_000) -> dict[str, bytes]:
    """The files of a LoRA adapter's repository, with what training leaves beside it."""
    config = {"peft_type": "LORA", "r": 16, "lora_alpha": 32, "target_modules": ["q_proj"]}
    return {
        "README.md": b"# An adapter\n",
        "adapter_config.json": json.dumps(config).encode(),
        "adapter_model.safetensors": safetensors("lora_A", weight_bytes),
        "adapter_model.bin": b"b" * 5000,
        "training_args.bin": b"a" * 5000,
        "model.safetensors": safetensors("merged", 50_000),
        "checkpoint-500/adapter_config.json": json.dumps(config).encode(),
        "checkpoint-500/adapter_model.safetensors": safetensors("lora_A", weight_bytes, 1),
        "checkpoint-500/optimizer.pt": b"o" * 5000,
    }


ADAPTER_WANTED = {"README.md", "adapter_config.json", "adapter_model.safetensors"}
"""What of `adapter()` is fetched."""

WANTED = {
    "README.md",
    "config.json",
    "tokenizer.json",
    "model.safetensors.index.json",
    "code/modeling.py",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
}
"""What of `model()` is fetched."""
