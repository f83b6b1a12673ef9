"""The pod of dummy: the server with random weights, and beside it the check that asks it.

No pod of the revision is there yet, so the server is this pod's own: the recorded template's
container as a sidecar, which the check waits for and which ends with it. It takes the NPUs that the
revision's own pods take afterwards.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from ascendllm.desired.checks.call import Call, Given
from ascendllm.engine.arguments import PORT

__all__ = ["SERVER_URL", "beside_its_server", "dummy_call"]

SERVER_URL = f"http://127.0.0.1:{PORT}"

_OF_THE_REVISION = ("serviceAccountName", "topologySpreadConstraints")
"""Fields of the template's pod that say something of the revision's pods among each other."""


def dummy_call(given: Given) -> Call:
    """The call of `ascendllm validate dummy`."""
    return Call([f"--kind={given.spec.model.kind}"])


def beside_its_server(pod: Mapping[str, Any], template: Mapping[str, Any]) -> dict[str, Any]:
    """A job's pod with the server that it asks.

    Args:
        pod: The job's pod spec, with one container.
        template: The revision's recorded pod template.
    """
    serving = copy.deepcopy(dict(template["spec"]))
    for field in _OF_THE_REVISION:
        serving.pop(field, None)
    (server,) = serving.pop("containers")
    server |= {"args": _with_random_weights(server["args"]), "restartPolicy": "Always"}
    (check,) = pod["containers"]
    identity = pod["securityContext"]
    check = {
        **check,
        "securityContext": {
            **check["securityContext"],
            **{key: identity[key] for key in ("runAsNonRoot", "runAsUser", "runAsGroup")},
            "seccompProfile": identity["seccompProfile"],
        },
    }
    return {
        **serving,
        "serviceAccountName": pod["serviceAccountName"],
        "restartPolicy": "Never",
        "initContainers": [*serving.get("initContainers", []), server],
        "containers": [check],
        "volumes": [*serving.get("volumes", []), *pod["volumes"]],
    }


def _with_random_weights(arguments: list[str]) -> list[str]:
    kept = [argument for argument in arguments if not argument.startswith("--load-format")]
    return [*kept, "--load-format=dummy"]
