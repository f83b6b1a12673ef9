"""`ascendllm-simulator` and `python -m ascendllm_simulator`: see `ascendllm_simulator.cli`."""

from __future__ import annotations

from ascendllm_simulator.cli import command


def main() -> None:
    """Run the simulator."""
    command(prog_name="ascendllm-simulator")


if __name__ == "__main__":
    main()
