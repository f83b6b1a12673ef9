"""What vLLM-Ascend makes of a setting: refuses it at start, ignores it, or does something else.

`refusals` is what a server would end on; `remarks` is what it would say nothing of. The facts are
of vllm-ascend 0.18.0rc1 (`vllm_ascend/envs.py`, `ascend_config.py`, `platform.py`, `utils.py`) and
count for servers of that release alone. One subject a module; each judges a `Setup`.
"""

from __future__ import annotations

from ascendllm.api.spec import Spec
from ascendllm.engine import options
from ascendllm.engine.ascend import additional_config, chip, environment, given
from ascendllm.engine.ascend.setup import Setup
from ascendllm.engine.secret_variables import secret_remarks

__all__ = ["refusals", "remarks"]

_SUBJECTS = (environment, additional_config, given, chip)


def refusals(spec: Spec, generation: str | None = None) -> list[str]:
    """What a server would end on at its start: field, value, rule and remedy each."""
    if options.table_for(spec.runtime.version) is None:
        return []
    setup = Setup.of(spec, generation)
    return [text for subject in _SUBJECTS for text in subject.refusals(setup)]


def remarks(spec: Spec, generation: str | None = None) -> list[str]:
    """Secrets that everybody can read, and settings without effect or with another one."""
    secrets = secret_remarks(spec.runtime.env or {})
    if options.table_for(spec.runtime.version) is None:
        return [*secrets, *_unknown_version(spec)]
    setup = Setup.of(spec, generation)
    return [*secrets, *(text for subject in _SUBJECTS for text in subject.remarks(setup))]


def _unknown_version(spec: Spec) -> list[str]:
    if not (spec.engine.args or spec.engine.config):
        return []
    return [
        f"spec.runtime.version {spec.runtime.version}: the options of its vLLM are not known, so "
        "spec.engine.args and config are not judged by name; vLLM ends at start on one that it "
        "does not know"
    ]
