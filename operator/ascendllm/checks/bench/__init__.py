"""Throughput and latency, with the definitions and names of `vllm bench serve` 0.18.0.

`prompts` makes prompts of an exact length, `stream` reads one streamed answer, `metrics` computes
the figures, `run` is the closed loop.
"""
