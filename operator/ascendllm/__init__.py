"""AscendLLM: serve LLMs on Huawei Ascend NPUs from one resource, and prove them before traffic."""

__version__ = "0.1.0"
