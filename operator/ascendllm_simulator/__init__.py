"""A stand-in for vLLM-Ascend 0.18 on machines without NPUs: its HTTP surface, a made-up model."""
