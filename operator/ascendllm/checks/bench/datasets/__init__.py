"""What bench sends: lists of prompts whose lengths are the server's own count.

`random_prompts` makes exact lengths out of common words, `sharegpt` takes conversations from a
file (`conversation_file` reads it), `make` chooses between them, `counting` asks /tokenize.
"""

from __future__ import annotations

from ascendllm.checks.bench.datasets.make import Dataset, DatasetOptions, make_dataset
from ascendllm.checks.bench.datasets.prompt import Prompt
from ascendllm.checks.bench.datasets.random_prompts import long_context_prompt

__all__ = ["Dataset", "DatasetOptions", "Prompt", "long_context_prompt", "make_dataset"]
