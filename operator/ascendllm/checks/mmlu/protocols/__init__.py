"""The protocols of MMLU, one file each; two protocols' figures are never compared in silence."""

from __future__ import annotations

from collections.abc import Mapping

from ascendllm.checks.mmlu.protocols.lm_eval import LmEval
from ascendllm.checks.mmlu.protocols.meta_instruct import MetaInstruct
from ascendllm.checks.mmlu.protocols.original import Original
from ascendllm.checks.mmlu.protocols.protocol import Protocol

__all__ = ["DEFAULT_BY_KIND", "PROTOCOLS"]

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol for protocol in (LmEval(), Original(), MetaInstruct())
}

DEFAULT_BY_KIND: Mapping[str, str] = {"base": "lmEval", "instruct": "metaInstruct"}
"""The protocol where none is named, by the model's kind."""
