"""A simulator of vLLM-Ascend 0.18 for machines without NPUs: its HTTP API, a synthetic model."""
