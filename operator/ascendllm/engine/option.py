"""One option of `vllm serve`."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Option"]


@dataclass(frozen=True, slots=True)
class Option:
    """One option of `vllm serve`, or its one positional argument (no flags).

    Args:
        dest: The name of the parsed value, such as `max_model_len`.
        flags: Every spelling, the canonical one first.
        kind: store | append | flag (takes no value) | switch (has a `--no-` form) | help.
        type: A key of `option_values.TYPES`.
        optional: Whether `None` and the empty text mean no value.
        nargs: None (exactly one value), `?` or `+`.
        choices: The allowed values; empty where all are.
        default: The parser's default; None also where it is an object of vLLM's.
    """

    dest: str
    flags: tuple[str, ...]
    kind: str = "store"
    type: str = "str"
    optional: bool = False
    nargs: str | None = None
    choices: tuple[str | int, ...] = ()
    default: object = None

    @property
    def takes_value(self) -> bool:
        """Whether a value may follow."""
        return self.kind in ("store", "append")

    @property
    def canonical(self) -> str:
        """The first spelling."""
        return self.flags[0]
