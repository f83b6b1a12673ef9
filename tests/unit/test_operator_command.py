"""`ascendllm operator`: what it says before it needs an API server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

OPERATOR = Path(__file__).resolve().parents[2] / "operator"


@pytest.mark.parametrize(
    ("prefixes", "warned"),
    [("/opt/models", []), ("/opt/models,/etc,/var", ["/etc is /etc", "/var contains /var/"])],
)
def test_the_log_warns_of_system_folders_at_start(
    tmp_path: Path, prefixes: str, warned: list[str]
) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("{}")
    done = subprocess.run(
        [sys.executable, "-m", "ascendllm", "operator", f"--kubeconfig={kubeconfig}", "--port=0"],
        env=os.environ | {"PYTHONPATH": str(OPERATOR), "ASCENDLLM_hostPathPrefixes": prefixes},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no API server to talk to" in done.stderr
    lines = [json.loads(line) for line in done.stderr.splitlines() if line.startswith("{")]
    warnings = [line["message"] for line in lines if line["level"] == "WARNING"]
    assert len(warnings) == len(warned)
    for text, wanted in zip(warnings, warned, strict=True):
        assert text.startswith(f"hostPathPrefixes: {wanted}")
