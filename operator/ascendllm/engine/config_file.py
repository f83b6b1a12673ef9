"""`spec.engine.config`: the mapping of a `--config` file of `vllm serve`, as options.

vLLM makes `--key value` of each entry and parses that before the command line's own options
(vllm 0.18.0, `FlexibleArgumentParser.load_config_file`): `true` is the bare option, a list several
values, a mapping JSON. So does this, with three differences: keys may have underscores, `false` is
the `--no-` form wherever there is one, and nothing is left out in silence.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ascendllm.engine.option import Option
from ascendllm.engine.option_values import is_json
from ascendllm.engine.options import OptionTable

__all__ = ["Entry", "entries"]


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of the mapping.

    Args:
        key: As it was written.
        value: As it was written.
        option: The option that it names; None where there is none of that name.
        arguments: What it is as elements of `spec.engine.args`; none for a flag that is `false`.
    """

    key: str
    value: object
    option: Option | None
    arguments: tuple[str, ...]


def entries(config: Mapping[str, object], table: OptionTable) -> Iterator[Entry]:
    """The entries in their order."""
    for key, value in config.items():
        name, dot, keys = key.partition(".")
        flag = f"--{name.replace('_', '-')}"
        option = table.by_flag.get(flag)
        yield Entry(key, value, option, tuple(_arguments(f"{flag}{dot}{keys}", value, option)))


def _arguments(flag: str, value: object, option: Option | None) -> Iterator[str]:
    if isinstance(value, bool) and (option is None or not option.takes_value):
        if value:
            yield flag
        elif option is None or option.kind == "switch":
            yield _negated(flag)
    elif isinstance(value, list) and not (option is not None and is_json(option.type)):
        yield from (f"{flag}={_text(item)}" for item in value)
    else:
        yield f"{flag}={_text(value)}"


def _negated(flag: str) -> str:
    return f"--{flag[5:]}" if flag.startswith("--no-") else f"--no-{flag[2:]}"


def _text(value: object) -> str:
    """A value as it stands on a command line."""
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
