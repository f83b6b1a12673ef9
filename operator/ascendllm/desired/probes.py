"""The serving container's probes, made for models that take minutes to load.

`/health` answers 200 while the engine has not yet served anything and even while it hangs, so the
pod counts as started only after one real completion. The kubelet asks for readiness at once when a
startup probe succeeds (`prober_manager.go`, UpdatePodStatus), so that a pod is ready soon after
its first good completion. Busy engines take seconds to answer `/health`, so liveness is slow to
give up.
"""

from __future__ import annotations

from typing import Any

from ascendllm.engine.arguments import PORT

__all__ = ["probes"]

STARTUP_HOURS = 4
"""The longest load that is waited for; the rollout's progress deadline usually speaks earlier."""

_ASKING_SECONDS = 50
"""How long one startup probe goes on asking: a Python that is started each second for minutes would
take a core from the load. It is also the longest that the first completion may take."""

_STARTUP = """\
import json, os, socket, sys, time, urllib.error, urllib.request
body = json.dumps({{"model": {model}, "prompt": "1", "max_tokens": 1, "temperature": 0}}).encode()
headers = {{"Content-Type": "application/json"}}
if os.environ.get("VLLM_API_KEY"):
    headers["Authorization"] = "Bearer " + os.environ["VLLM_API_KEY"]
opener = urllib.request.build_opener(urllib.request.ProxyHandler({{}}))
end = time.monotonic() + {seconds}
said = "nothing listens"
while (left := end - time.monotonic()) > 0:
    pause = 0.3
    try:
        socket.create_connection(("127.0.0.1", {port}), 5).close()
    except OSError:
        time.sleep(pause)
        continue
    try:
        url = "http://127.0.0.1:{port}/v1/completions"
        request = urllib.request.Request(url, body, headers)
        if json.load(opener.open(request, timeout=left))["choices"]:
            sys.exit(0)
        said = "the completion has no choices"
    except urllib.error.HTTPError as error:
        said, pause = f"HTTP {{error.code}}: {{error.read(300)!r}}", 2
    except Exception as error:
        said = f"{{type(error).__name__}}: {{error}}"
    time.sleep(pause)
sys.exit(f"no completion yet: {{said}}")
"""


def probes(served_name: str, grace_when_hung: int | None = None) -> dict[str, Any]:
    """The three probes as fields of a container.

    Args:
        served_name: The name that the one completion asks for.
        grace_when_hung: Seconds that a server which no longer answers is given to end; the pod's
            own grace period when None.
    """
    health = {"path": "/health", "port": PORT, "scheme": "HTTP"}
    script = _STARTUP.format(port=PORT, model=repr(served_name), seconds=_ASKING_SECONDS)
    return {
        "startupProbe": {
            "exec": {"command": ["python3", "-c", script]},
            "periodSeconds": 1,
            "timeoutSeconds": _ASKING_SECONDS + 10,
            "failureThreshold": STARTUP_HOURS * 3600 // _ASKING_SECONDS,
        },
        # A dead engine answers 503 and is out after 9 s; a busy one may take seconds to answer.
        "readinessProbe": {
            "httpGet": health,
            "periodSeconds": 3,
            "timeoutSeconds": 5,
            "failureThreshold": 3,
        },
        "livenessProbe": {
            "httpGet": health,
            "periodSeconds": 10,
            "timeoutSeconds": 10,
            "failureThreshold": 6,
            **(
                {"terminationGracePeriodSeconds": grace_when_hung}
                if grace_when_hung is not None
                else {}
            ),
        },
    }
