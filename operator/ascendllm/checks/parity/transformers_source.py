"""A model folder as a source: transformers and torch in this process, imported only here.

Log-probabilities are the float32 log-softmax of the logits, as vLLM 0.18.0 computes them
(`v1/sample/sampler.py`, compute_logprobs); a rank is one more than the number of likelier tokens.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ascendllm.checks.parity.source import Prompt, Scored
from ascendllm.exceptions import SpecError

__all__ = ["DTYPES", "TransformersSource", "load"]

DTYPES = ("auto", "bfloat16", "float16", "float32")


def load(folder: Path, dtype: str, device: str) -> TransformersSource:
    """Load a model and its tokenizer; nothing is fetched, no code of the folder is run.

    Args:
        folder: With config.json, weights and a tokenizer.
        dtype: One of `DTYPES`; auto: what the folder says.
        device: torch's name, such as cpu or cuda:0.

    Raises:
        SpecError: `NoTransformers` or `BadModelFolder`.
    """
    try:
        torch: Any = importlib.import_module("torch")
        transformers: Any = importlib.import_module("transformers")
    except ImportError as error:
        raise SpecError(
            "NoTransformers",
            f"--transformers {folder}: {error}; run this where torch and transformers are "
            "installed, or record from a server with --base-url",
        ) from None
    if not (folder / "config.json").is_file():
        raise SpecError(
            "BadModelFolder",
            f"--transformers {folder}: holds no config.json; give a model's folder",
        )
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype if dtype == "auto" else getattr(torch, dtype),
            local_files_only=True,
        )
        model = model.to(device).eval()
    except Exception as error:
        cause = f"{type(error).__name__}: {error}"[:400]
        raise SpecError("BadModelFolder", f"--transformers {folder}: {cause}") from None
    return TransformersSource(torch, tokenizer, model, f"transformers {transformers.__version__}")


class TransformersSource:
    """One loaded model.

    Args:
        torch: The module.
        tokenizer: transformers' own.
        model: The same.
        engine: Name and version.
    """

    def __init__(self, torch: Any, tokenizer: Any, model: Any, engine: str) -> None:
        self._torch = torch
        self._tokenizer = tokenizer
        self._model = model
        self.engine = engine

    @property
    def dtype(self) -> str:
        """The weights' data type, such as bfloat16."""
        return str(self._model.dtype).removeprefix("torch.")

    @property
    def max_model_len(self) -> int | None:
        """The longest context that the model's configuration names."""
        length = getattr(self._model.config, "max_position_embeddings", None)
        return length if isinstance(length, int) and length > 0 else None

    async def tokenize(self, text: str) -> list[int]:
        """See `Source`."""
        return [int(token) for token in self._tokenizer(text).input_ids]

    async def prompt_ids(self, prompt: Prompt) -> list[int]:
        """See `Source`.

        Raises:
            SpecError: `NoChatTemplate`.
        """
        if prompt.messages is None:
            return await self.tokenize(prompt.text)
        if not self._tokenizer.chat_template:
            raise SpecError(
                "NoChatTemplate",
                f"prompt {prompt.id!r}: the model has no chat template; give prompts, not messages "
                "(--kind base)",
            )
        ids = self._tokenizer.apply_chat_template(
            [dict(message) for message in prompt.messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        return [int(token) for token in ids]

    async def write(self, ids: Sequence[int], max_tokens: int) -> list[int]:
        """See `Source`."""
        return await asyncio.to_thread(self._write, list(ids), max_tokens)

    async def score(self, ids: Sequence[int], top: int) -> list[Scored]:
        """See `Source`."""
        return await asyncio.to_thread(self._score, list(ids), top)

    def _write(self, ids: list[int], max_tokens: int) -> list[int]:
        torch = self._torch
        given = torch.tensor([ids], device=self._model.device)
        with torch.inference_mode():
            whole = self._model.generate(
                given,
                attention_mask=torch.ones_like(given),
                do_sample=False,
                num_beams=1,
                max_new_tokens=max_tokens,
                repetition_penalty=1.0,
                no_repeat_ngram_size=0,
                temperature=None,
                top_p=None,
                top_k=None,
                pad_token_id=self._tokenizer.eos_token_id or 0,
            )
        return [int(token) for token in whole[0, len(ids) :].tolist()]

    def _score(self, ids: list[int], top: int) -> list[Scored]:
        torch = self._torch
        given = torch.tensor([ids], device=self._model.device)
        with torch.inference_mode():
            logits = self._model(given).logits[0, :-1].to(torch.float32)
        logprobs = torch.log_softmax(logits, dim=-1)
        chosen = logprobs.gather(1, given[0, 1:].unsqueeze(1))
        ranks = (logprobs > chosen).sum(dim=1) + 1
        most = logprobs.topk(max(top, 1), dim=1)
        return [
            Scored(value, rank, tuple(zip(tokens, values, strict=True))[:top])
            for value, rank, tokens, values in zip(
                chosen[:, 0].tolist(),
                ranks.tolist(),
                most.indices.tolist(),
                most.values.tolist(),
                strict=True,
            )
        ]
