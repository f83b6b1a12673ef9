"""The engine's settings as they take effect: fields, then `config`, then `profile`.

A field that is set stands. `config` fills fields that are not, and what has no field goes to
`args`; `profile` fills what is still unset. Who reads a number of the engine reads it from here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from ascendllm.api.engine import Engine
from ascendllm.engine import options
from ascendllm.engine.config_file import Entry, entries
from ascendllm.engine.option import Option
from ascendllm.engine.option_values import BadValueError, convert
from ascendllm.engine.ownership import FIELDS
from ascendllm.engine.profiles import PROFILES

__all__ = ["field_value", "in_force", "is_set"]

_ON_310P: Mapping[str, object] = {"dtype": "float16", "enforce_eager": True}
"""The 310P computes in float16 and captures no graphs (vllm-ascend 0.18, `hardwares/310p.md`)."""


def in_force(engine: Engine, generation: str | None = None) -> Engine:
    """The settings that take effect; the same once more is the same.

    Args:
        engine: As the user wrote it. What of `config` no option or field takes is left out or in
            `args`: the policies have refused it before.
        generation: The chips', where known: on the 310P there is one dtype and one mode.
    """
    if engine.config is None and engine.profile is None and generation != "310P":
        return engine
    engine = _with(engine, _from_config(engine) | {"config": None})
    engine = _with(engine, _from_profile(engine) | {"profile": None})
    return _with(engine, _ON_310P) if generation == "310P" else engine


def _with(engine: Engine, values: Mapping[str, object]) -> Engine:
    """The engine with these where it says nothing of its own; None clears."""
    return engine.model_copy(
        update={
            attribute: value
            for attribute, value in values.items()
            if value is None or attribute == "args" or not is_set(engine, attribute)
        }
    )


def _from_config(engine: Engine) -> dict[str, object]:
    values: dict[str, object] = {}
    arguments = list(engine.args or [])
    for entry in entries(engine.config or {}, options.load()):
        attribute = FIELDS.get(entry.option.dest) if entry.option is not None else None
        if attribute is None:
            arguments += entry.arguments
        elif (value := field_value(entry)) is not None:
            values[attribute] = value
    return {**values, "args": arguments or None}


def _from_profile(engine: Engine) -> dict[str, object]:
    """What the profile fills in, as far as it goes with what is set.

    A step holds a token of each sequence, and without chunked prefill a whole prompt: its size is
    vLLM's to choose there.
    """
    if engine.profile is None:
        return {}
    sequences, tokens = PROFILES[engine.profile]
    if engine.max_num_batched_tokens is not None:
        return {"max_num_seqs": min(sequences, engine.max_num_batched_tokens)}
    whole = options.load().values(engine.args or []).get("enable_chunked_prefill") is False
    if whole or (engine.max_num_seqs or 0) > tokens:
        return {"max_num_seqs": sequences}
    return {"max_num_seqs": sequences, "max_num_batched_tokens": tokens}


def is_set(engine: Engine, attribute: str) -> bool:
    """Whether a field says something else than its absence would."""
    return bool(getattr(engine, attribute) != Engine.model_fields[attribute].default)


def field_value(entry: Entry) -> object | None:
    """The value of the entry as its field has it; None where it has not the option's type."""
    option, value = entry.option, entry.value
    if option is None or "." in entry.key:
        return None
    if option.kind in ("switch", "flag"):
        return _switched(option, entry.key, value)
    if isinstance(value, dict):
        return value if option.type in ("object", "dict-or-str") else None
    if isinstance(value, bool | list) or value is None:
        return None
    try:
        return convert(option.type, option.optional, _text(value))
    except BadValueError:
        return None


def _switched(option: Option, key: str, value: object) -> bool | None:
    if not isinstance(value, bool):
        return None
    negative = f"--{key.replace('_', '-')}" not in option.flags[:1]
    return value is not negative


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
