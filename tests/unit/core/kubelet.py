"""What a kubelet makes of a container's arguments."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence

__all__ = ["VARIABLES", "command_line"]

VARIABLES: Mapping[str, str] = {
    "VLLM_HOST_IP": "10.0.0.7",
    "LWS_LEADER_ADDRESS": "llama-0.llama-0.default",
    "LWS_WORKER_INDEX": "1",
}
"""Of the first worker of a group; a leader's index is 0, and nothing of a leader's asks for it."""

_REFERENCE = re.compile(r"\$(?:(\$)|\(([A-Za-z_][A-Za-z0-9_]*)\))")
_SHOW = "import json, sys; print(json.dumps(sys.argv[1:]))"


def command_line(arguments: Sequence[str], variables: Mapping[str, str] = VARIABLES) -> list[str]:
    """`vllm serve …` as its process gets it, references put in and a shell run where there is one.

    Args:
        arguments: The container's `args`.
        variables: Its environment.
    """
    expanded = [_REFERENCE.sub(lambda found: _value(found, variables), text) for text in arguments]
    begin = expanded.index("vllm")
    if begin == 0:
        return expanded
    assert expanded[:2] == ["sh", "-c"]
    shown = [*expanded[:begin], sys.executable, "-c", _SHOW, *expanded[begin:]]
    outcome = subprocess.run(
        shown, env=dict(variables), check=True, capture_output=True, text=True, timeout=20
    )
    return [str(item) for item in json.loads(outcome.stdout)]


def _value(found: re.Match[str], variables: Mapping[str, str]) -> str:
    return "$" if found[1] else variables.get(found[2], found[0])
