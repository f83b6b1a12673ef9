"""The device plugin's own tests, which are in Go."""

from __future__ import annotations

import pytest

from cluster.commands import environment, run
from cluster.paths import SOURCES

_MODULE = str(SOURCES / "npu-device-plugin")
# As the program itself is built, so that nothing is compiled twice.
_ENVIRONMENT = {**environment(), "CGO_ENABLED": "0"}
_TIMEOUT = 300.0


@pytest.mark.timeout(_TIMEOUT)
def test_it_answers_as_mindclusters_does() -> None:
    said = run(
        ["go", f"-C={_MODULE}", "test", "-trimpath", "-v", "."], timeout=_TIMEOUT, env=_ENVIRONMENT
    )

    assert "--- PASS: TestRuntimeModeGivesEnvironmentAlone" in said
    assert "--- PASS: TestAnUnhealthyDeviceIsToldWithItsFault" in said
    assert "--- FAIL" not in said
