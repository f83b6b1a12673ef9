"""What the rules look at: one server's settings, whichever way each was written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ascendllm.api.engine import Engine
from ascendllm.api.spec import Spec
from ascendllm.engine import options
from ascendllm.engine.arguments import tensor_parallel_size
from ascendllm.engine.in_force import in_force
from ascendllm.engine.worlds import told_generation

__all__ = ["Setup"]


@dataclass(frozen=True)
class Setup:
    """One server's settings.

    Attributes:
        engine: As it takes effect.
        env: `spec.runtime.env`.
        values: What `args` says, by the parser's names.
        tensor: The tensor parallel size.
        generation: The chips', where known.
    """

    engine: Engine
    env: Mapping[str, str]
    values: Mapping[str, Any]
    tensor: int
    generation: str | None

    @classmethod
    def of(cls, spec: Spec, generation: str | None) -> Setup:
        """The settings of a spec."""
        known = generation or told_generation(spec)
        engine = in_force(spec.engine, known)
        return cls(
            engine=engine,
            env=spec.runtime.env or {},
            values=options.load().values(engine.args or []),
            tensor=tensor_parallel_size(engine, spec.npus),
            generation=known,
        )

    @property
    def additional(self) -> Mapping[str, Any]:
        """`--additional-config`."""
        return self.engine.additional_config or {}

    @property
    def compilation(self) -> Mapping[str, Any]:
        """`--compilation-config`."""
        return self.engine.compilation_config or {}

    def section(self, name: str) -> Mapping[str, Any]:
        """A mapping inside `--additional-config`; empty where it is none."""
        value = self.additional.get(name)
        return value if isinstance(value, Mapping) else {}

    @property
    def graphs(self) -> bool:
        """Whether graphs are captured."""
        if self.engine.enforce_eager or self.compilation.get("mode") in (0, "NONE"):
            return False
        xlite = self.section("xlite_graph_config")
        if xlite.get("enabled") and xlite.get("full_mode"):
            return False
        return str(self.compilation.get("cudagraph_mode", "")).upper() != "NONE"

    def on(self, name: str) -> bool:
        """Whether a variable that is read as an integer is not 0."""
        try:
            return int(self.env.get(name, "0")) != 0
        except ValueError:
            return False
