"""What `spec.engine.profile` fills in: seed values of three ways to serve, for Ascend.

They follow NVIDIA's guide to Llama 3.3 70B on vLLM ("Balancing throughput and latency"), whose rule
is not bound to a chip: many sequences at once cost latency and gain throughput, a larger step
prefills sooner and holds up the answers that are being written. What the guide sets for its own
chips is left out: an FP8 KV cache and FP8 or NVFP4 weights (Ascend has neither), fusions of
FlashInfer, and the tensor parallel size, since cards are `npu`'s to give. Asynchronous scheduling
is vLLM's own choice by now, and switching prefix caching off is for measuring on made-up prompts.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["PROFILES"]

PROFILES: Mapping[str, tuple[int, int]] = {
    # 8 at once, as the guide has it. 2,048 tokens a step are what vLLM takes on Ascend anyway,
    # where the platform names no memory size: a long prompt is prefilled between answers' tokens.
    "latency": (8, 2048),
    # The guide's middle: 128 at once and the 8,192 that it recommends for most uses.
    "balanced": (128, 8192),
    # The guide raises the sequences up to the KV cache's end and measures at 512. 512 is also the
    # largest batch that vLLM-Ascend captures a graph for (0.18, `platform.py`); beyond it every
    # step is slower. 16,384 tokens gain a little more throughput, and TPOT becomes less even.
    "throughput": (512, 16_384),
}
"""Profile to the sequences at once and the tokens of a step."""
