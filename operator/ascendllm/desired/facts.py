"""What an image holds, told by the image itself before its server starts.

An init container of the serving pods, with the same image, writes one line of JSON to its
termination message, which stands in the pod's status: versions are then known without a right to
run anything in a pod, and without NPUs. It takes nothing, and it never keeps a pod from starting.
"""

from __future__ import annotations

from typing import Any

__all__ = ["CONTAINER", "facts_container"]

CONTAINER = "facts"

_SCRIPT = r"""
import glob, importlib.metadata, importlib.util, json, os, platform, re, sys

def first(pattern, *paths):
    for path in paths:
        try:
            with open(path, errors="replace") as file:
                found = re.search(pattern, file.read(65536), re.M)
        except OSError:
            continue
        if found:
            return found.group(1)

def cann():
    base = "/usr/local/Ascend/"
    homes = [base + "ascend-toolkit/latest", base + "cann", *sorted(glob.glob(base + "cann-*"))]
    for home in [os.environ.get("ASCEND_HOME_PATH") or homes[0], *homes]:
        infos = glob.glob(home + "/*-linux/ascend_toolkit_install.info")
        found = first(r"^version=(\S+)", *infos)
        found = found or first(r"^toolkit_\w+=\[[^\]:]*:([^\]]+)", home + "/version.cfg")
        if found:
            return found

def soc():
    spec = importlib.util.find_spec("vllm_ascend")
    info = os.path.join(os.path.dirname(spec.origin), "_build_info.py")
    found = first(r"^__soc_version__ = .(\w+)", info) or os.environ.get("SOC_VERSION")
    return (found or first(r"^__device_type__ = \W*([\w.]+)", info) or "").lower()

def version(name):
    return lambda: importlib.metadata.version(name)

facts = {}
for key, find in {
    "vllm": version("vllm"), "vllmAscend": version("vllm-ascend"),
    "torchNpu": version("torch-npu"), "transformers": version("transformers"),
    "cann": cann, "soc": soc, "arch": platform.machine,
}.items():
    try:
        facts[key] = re.sub(r"[^!-~]", "", find() or "")[:64]
    except Exception:
        pass
with open(sys.argv[1], "w") as file:
    json.dump({key: value for key, value in facts.items() if value}, file)
"""
"""The files are those of vllm-ascend's image: its setup.py writes `vllm_ascend/_build_info.py`
(`__soc_version__`, later `__device_type__`), CANN's installer `ascend_toolkit_install.info`
(`version=8.5.1`), and CANN up to 8.3 `version.cfg` (`toolkit_running_version=[7.8…:8.3.RC2]`).
Without NPUs or their driver nothing of vLLM-Ascend can be imported, so files are read instead."""


def facts_container(image: str, pull_policy: str | None) -> dict[str, Any]:
    """The init container.

    Args:
        image: The serving container's.
        pull_policy: The serving container's; None for Kubernetes' own default.
    """
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        # By the shell, so that an image without Python serves all the same.
        "command": [
            "sh",
            "-c",
            'python3 -c "$1" "$2" || true',
            CONTAINER,
            _SCRIPT.strip() + "\n",
            "/dev/termination-log",
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if pull_policy is not None:
        container["imagePullPolicy"] = pull_policy
    return container
