"""The prompts of a run, by the data set that is asked for."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ascendllm.checks.bench.datasets.conversation_file import open_conversations
from ascendllm.checks.bench.datasets.prompt import Prompt
from ascendllm.checks.bench.datasets.random_prompts import random_prompts
from ascendllm.checks.bench.datasets.sharegpt import sharegpt_prompts
from ascendllm.checks.client import Client
from ascendllm.exceptions import SpecError

__all__ = ["Dataset", "DatasetName", "DatasetOptions", "make_dataset"]

DatasetName = Literal["random", "sharegpt"]


@dataclass(frozen=True, slots=True)
class DatasetOptions:
    """Which prompts.

    Args:
        name: random, or conversations of a file.
        input_tokens: Of each random prompt, special tokens included.
        output_tokens: Of each answer; None (sharegpt only): as many as the file's answer has.
        prefix_tokens: How many tokens at the start all random prompts share.
        data: sharegpt: the file, or a folder with exactly one `.json`.
        seed: Prompt number k of a seed is always the same.
    """

    name: DatasetName = "random"
    input_tokens: int = 128
    output_tokens: int | None = 128
    prefix_tokens: int = 0
    data: Path | None = None
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Dataset:
    """The prompts, and where they are from.

    Args:
        prompts: In the order in which they are sent.
        name: The data set's name.
        hash: `sha256:…` of the file; None for random prompts, which follow from the seed.
    """

    prompts: list[Prompt]
    name: DatasetName
    hash: str | None = None


async def make_dataset(
    client: Client,
    options: DatasetOptions,
    count: int,
    *,
    first: int = 0,
    concurrency: int,
    max_model_len: int | None,
) -> Dataset:
    """Make prompts `first` to `first + count - 1` of a data set.

    Args:
        client: The server that counts.
        options: Which prompts.
        count: How many.
        first: The number of the first one, so that shards and points of a sweep share none.
        concurrency: Requests in flight while counting.
        max_model_len: The server's context, where it is known.

    Raises:
        SpecError: The options or the file ask for what can't be had.
        CheckError: `PromptLength`, or as the requests raise.
    """
    _check(options, max_model_len)
    if options.data is not None and options.name == "sharegpt":
        file = await asyncio.to_thread(open_conversations, options.data)
        drawn = await sharegpt_prompts(
            client,
            file,
            count,
            output_tokens=options.output_tokens,
            seed=options.seed,
            first=first,
            concurrency=concurrency,
            max_model_len=max_model_len,
        )
        return Dataset(drawn, "sharegpt", file.digest)
    made = await random_prompts(
        client,
        count,
        input_tokens=options.input_tokens,
        output_tokens=options.output_tokens or 0,
        prefix_tokens=options.prefix_tokens,
        seed=options.seed,
        first=first,
        concurrency=concurrency,
    )
    return Dataset(made, "random")


def _check(options: DatasetOptions, max_model_len: int | None) -> None:
    if options.name == "sharegpt":
        if options.data is None:
            raise SpecError("NoDataset", "--dataset sharegpt needs --data, a file of conversations")
        if options.prefix_tokens:
            raise SpecError(
                "PrefixNeedsRandom",
                f"--prefix-tokens {options.prefix_tokens}: only random prompts can share a prefix; "
                "remove it, or take --dataset random",
            )
        return
    if options.data is not None:
        raise SpecError("UnusedData", "--data is for --dataset sharegpt; remove it")
    if options.output_tokens is None:
        raise SpecError("NoOutputTokens", "--dataset random needs --output-tokens")
    wanted = options.input_tokens + options.output_tokens
    if max_model_len is not None and wanted > max_model_len:
        raise SpecError(
            "ContextTooShort",
            f"--input-tokens {options.input_tokens} and --output-tokens {options.output_tokens} "
            f"are more than the server's context of {max_model_len}; ask for less, or raise "
            "maxModelLen",
        )
