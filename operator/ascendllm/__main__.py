"""`ascendllm` and `python -m ascendllm`: see `ascendllm.cli`."""

from __future__ import annotations

from ascendllm.cli import cli


def main() -> None:
    """Run the command line."""
    cli(prog_name="ascendllm")


if __name__ == "__main__":
    main()
