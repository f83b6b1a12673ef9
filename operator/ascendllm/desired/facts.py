"""What an image and a model's folder hold, told by themselves before the server starts.

An init container of the serving pods, with the same image, writes one line of JSON to its
termination message, which stands in the pod's status: versions are then known without a right to
run anything in a pod, and without NPUs; so are the numbers of the model's config.json, by which a
model that can't fit is told before it is loaded. It takes nothing, and it never keeps a pod from
starting.
"""

from __future__ import annotations

from typing import Any

from ascendllm.desired.sources import Mounted
from ascendllm.engine.arguments import escape_argument

__all__ = ["CONTAINER", "facts_container"]

CONTAINER = "facts"

_SCRIPT = r"""
import glob, importlib.metadata, importlib.util, json, os, platform, re, signal, sys

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
def write():
    with open(sys.argv[1], "w") as file:
        json.dump({key: value for key, value in facts.items() if value}, file)

def indexed(folder):
    try:
        with open(folder + "/model.safetensors.index.json", "rb") as file:
            return int(json.loads(file.read(33554432))["metadata"]["total_size"])
    except Exception:
        return 0

def weights(folder, end):
    files = [file for file in os.scandir(folder) if file.name.endswith(end)]
    parts = [file for file in files if not file.name.startswith("consolidated")]
    return sum(file.stat().st_size for file in parts or files)

def model(folder):
    with open(folder + "/config.json", "rb") as file:
        config = json.loads(file.read(4194304))
    inner = config.get("text_config")
    places = [inner, config] if isinstance(inner, dict) else [config]
    def of(key, kind):
        found = [place[key] for place in places if place.get(key) is not None]
        return found[0] if found and type(found[0]) is kind else None
    found = {key: of(key, int) for key in (
        "hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "head_dim", "max_position_embeddings", "kv_lora_rank", "qk_rope_head_dim",
    )}
    found["model_type"] = of("model_type", str)
    found["torch_dtype"] = of("torch_dtype", str) or of("dtype", str)
    rope = of("rope_scaling", dict) or of("rope_parameters", dict) or {}
    found["rope_type"] = str(rope.get("rope_type") or rope.get("type") or "default")
    kinds = of("layer_types", list) or []
    found["mixed_layers"] = bool(set(kinds) - {"full_attention"} or of("use_sliding_window", bool))
    method = (of("quantization_config", dict) or {}).get("quant_method")
    slim = glob.glob(glob.escape(folder) + "/quant_model_description*.json")
    found["quantization"] = str(method) if method else "ascend" if slim else None
    sizes = (weights(folder, end) for end in (".safetensors", ".bin"))
    found["weight_bytes"] = indexed(folder) or next(filter(None, sizes), 0)
    texts = {key: value[:40] for key, value in found.items() if type(value) is str}
    return {key: value for key, value in {**found, **texts}.items() if value}

write()
if len(sys.argv) > 2:
    signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(20)
    try:
        found = model(sys.argv[2])
        signal.alarm(0)
        facts["model"] = found
        write()
    except (Exception, KeyboardInterrupt):
        pass
"""
"""The files are those of vllm-ascend's image: its setup.py writes `vllm_ascend/_build_info.py`
(`__soc_version__`, later `__device_type__`), CANN's installer `ascend_toolkit_install.info`
(`version=8.5.1`), and CANN up to 8.3 `version.cfg` (`toolkit_running_version=[7.8…:8.3.RC2]`).
Without NPUs or their driver nothing of vLLM-Ascend can be imported, so files are read instead.
The versions are written before the model's folder is looked at, which may be far away and slow."""


def facts_container(
    image: str, pull_policy: str | None, model: Mounted | None = None
) -> dict[str, Any]:
    """The init container.

    Args:
        image: The serving container's.
        pull_policy: The serving container's; None for Kubernetes' own default.
        model: The model's folder, as the serving container has it.
    """
    container: dict[str, Any] = {
        "name": CONTAINER,
        "image": image,
        # By the shell, so that an image without Python serves all the same.
        "command": [
            "sh",
            "-c",
            'script=$1; shift; python3 -c "$script" "$@" || true',
            CONTAINER,
            _SCRIPT.strip() + "\n",
            "/dev/termination-log",
            *([escape_argument(model.path)] if model is not None else []),
        ],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    if pull_policy is not None:
        container["imagePullPolicy"] = pull_policy
    if model is not None:
        container["volumeMounts"] = model.mounts
    return container
