"""The serving container's probes, made for models that take minutes to load.

`/health` answers 200 while the engine has not yet served anything and even while it hangs, so the
pod counts as started only after one real completion. Busy engines take seconds to answer
`/health`, so liveness is slow to give up.
"""

from __future__ import annotations

from typing import Any

from ascendllm.engine.arguments import PORT

__all__ = ["probes"]

STARTUP_HOURS = 4
"""The longest load that is waited for; the rollout's progress deadline usually speaks earlier."""

_STARTUP_PERIOD = 5

_STARTUP = """\
import json, os, sys, urllib.request
request = urllib.request.Request(
    "http://127.0.0.1:{port}/v1/completions",
    json.dumps({{"model": {model}, "prompt": "1", "max_tokens": 1, "temperature": 0}}).encode(),
    {{"Content-Type": "application/json"}},
)
if os.environ.get("VLLM_API_KEY"):
    request.add_header("Authorization", "Bearer " + os.environ["VLLM_API_KEY"])
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
try:
    answer = json.load(opener.open(request, timeout=25))
    sys.exit(0 if answer["choices"] else "the completion has no choices")
except Exception as error:
    sys.exit(f"no completion yet: {{error}}")
"""


def probes(served_name: str) -> dict[str, Any]:
    """The three probes as fields of a container.

    Args:
        served_name: The name that the one completion asks for.
    """
    health = {"path": "/health", "port": PORT, "scheme": "HTTP"}
    script = _STARTUP.format(port=PORT, model=repr(served_name))
    return {
        "startupProbe": {
            "exec": {"command": ["python3", "-c", script]},
            "periodSeconds": _STARTUP_PERIOD,
            "timeoutSeconds": 30,
            "failureThreshold": STARTUP_HOURS * 3600 // _STARTUP_PERIOD,
        },
        "readinessProbe": {
            "httpGet": health,
            "periodSeconds": 5,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": health,
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
        },
    }
