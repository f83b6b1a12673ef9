"""The behaviour of a simulated server: its timing, its accuracy and its failures.

The behaviour is configured in `simulator.json` in the model's folder. The environment variable
`ASCENDLLM_SIMULATE`, a JSON object, overrides it key by key. Every key is optional:

    {"loadSeconds": 1.0, "captureSeconds": 0, "ttftMs": 50, "itlMs": 20, "accuracy": 66.3,
     "answers": "answers.json", "chatTemplate": true, "kvCacheTokens": 524288,
     "failure": {"mode": "slow", "factor": 4}}

`answers` is a file in the model's folder (see `mmlu`). If `chatTemplate` is not set, the folder's
tokenizer_config.json decides. `MODES` lists every failure mode with its parameters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ascendllm.exceptions import SettingsError

__all__ = ["CRASHES", "ENVIRONMENT", "FILE", "MODES", "Behaviour", "Failure", "read_behaviour"]

FILE = "simulator.json"
ENVIRONMENT = "ASCENDLLM_SIMULATE"


@dataclass(frozen=True, slots=True)
class Mode:
    """A failure mode.

    Args:
        text: What happens.
        parameters: Each parameter with its default. A value must have the type of the default.
        gated: Whether the parameters `after` (requests that succeed first) and `times` (requests
            that fail, 0 for all) apply. They count requests to /v1/completions and
            /v1/chat/completions.
    """

    text: str
    parameters: Mapping[str, Any]
    gated: bool = True


MODES: Mapping[str, Mode] = {
    "crashOnLoad": Mode(
        "exits while loading and prints the message of the cause (see CRASHES); with trace also "
        "the front end's traceback, which is longer than what the kubelet keeps",
        {"cause": "outOfMemory", "exitCode": 1, "trace": False},
        gated=False,
    ),
    "loadForever": Mode("never listens", {}, gated=False),
    "falseReady": Mode(
        "healthy until the first completion kills the engine; the process ends, or with keepAlive "
        "stays and /health is 503 (VLLM_KEEP_ALIVE_ON_ENGINE_DEATH)",
        {"exitCode": 0, "keepAlive": False},
    ),
    "dieAfter": Mode(
        "the engine dies at the request after this many",
        {"requests": 10, "exitCode": 0, "keepAlive": False},
        gated=False,
    ),
    "hang": Mode("healthy, but completions never return", {}),
    "http500": Mode("completions return 500", {}),
    "rateLimit": Mode("completions return 429", {"retryAfterSeconds": 1}),
    "failEvery": Mode("every n-th completion returns 500", {"every": 10}, gated=False),
    "slow": Mode("TTFT and ITL are longer by this factor", {"factor": 10.0}),
    "cutStream": Mode(
        "the connection is cut after this many tokens of a stream", {"afterTokens": 1}
    ),
    "errorInStream": Mode(
        "a stream with status 200 ends with an error after this many tokens", {"afterTokens": 1}
    ),
    "wrongModel": Mode(
        "answers, /v1/models (`models`) or `both` carry another model's name",
        {"name": "another-model", "where": "answers"},
        gated=False,
    ),
    "noUsage": Mode("responses contain no usage", {}),
    "wrongUsage": Mode("usage counts this many completion tokens too many", {"offset": 7}),
    "noLogprobs": Mode("requested logprobs are missing", {}),
    "noPromptLogprobs": Mode("requested prompt_logprobs are missing (vllm-ascend#1043)", {}),
    "badLogprobs": Mode("logprobs are minus infinity, written as -9999", {}),
    "noLetter": Mode("answers to MMLU questions contain no letter", {}),
    "noTokenize": Mode("/tokenize and /detokenize do not exist", {}, gated=False),
}
"""Every failure mode by the name that `failure.mode` takes."""

CRASHES: Mapping[str, str] = {
    "outOfMemory": (
        "torch.OutOfMemoryError: NPU out of memory. Tried to allocate 1.96 GiB (NPU 0; 60.96 GiB "
        "total capacity; 59.12 GiB already allocated; 59.12 GiB current active; 1.02 GiB free; "
        "59.53 GiB reserved in total by PyTorch)"
    ),
    "noFreeMemory": (
        "ValueError: Free memory on device (10.21/60.96 GiB) on startup is less than desired GPU "
        "memory utilization (0.9, 54.86 GiB). Decrease GPU memory utilization or reduce GPU memory "
        "used by other processes."
    ),
    "kvCacheTooSmall": (
        "ValueError: To serve at least one request with the models's max seq len (131072), (16.0 "
        "GiB KV cache is needed, which is larger than the available KV cache memory (9.53 GiB). "
        "Based on the available memory, the estimated maximum model length is 78080. Try "
        "increasing `gpu_memory_utilization` or decreasing `max_model_len` when initializing the "
        "engine."
    ),
    "wrongImage": (
        "AssertionError: Current device type: AscendDeviceType.A3 does not match the installed "
        "version's device type: AscendDeviceType.A2, please check your installation package."
    ),
    "noDriver": (
        "ImportError: libascend_hal.so: cannot open shared object file: No such file or directory. "
        "Please check that the driver is mounted."
    ),
    "noDevice": (
        "AssertionError: local_world_size (1) must be less than or equal to the number of visible "
        "devices (0)."
    ),
    "badDevice": "RuntimeError: open device 1 failed, runtime result = 107001.",
}
"""The last line of the log for each `crashOnLoad.cause`; any other cause is printed unchanged.

The texts are those that vLLM or vLLM-Ascend 0.18 logs when the failure is real.
"""

_GATE = {"after": 0, "times": 0}


@dataclass(frozen=True, slots=True)
class Failure:
    """The configured failure with its parameters, including defaults."""

    mode: str
    parameters: Mapping[str, Any]

    def get(self, name: str) -> Any:
        """A parameter's value."""
        return self.parameters[name]


@dataclass(frozen=True, slots=True)
class Behaviour:
    """The behaviour that `simulator.json` and the environment configure.

    Args:
        load_seconds: Time from the start until the weights are loaded.
        capture_seconds: Time from then until the port listens, in which graphs are captured.
        ttft_ms: Time from the start of a sequence on the engine to its first token.
        itl_ms: Time between two tokens.
        accuracy: Percentage of the MMLU questions that are answered correctly.
        answers: The answer key, a file in the model's folder.
        chat_template: Whether /v1/chat/completions works. None: the model's folder decides.
        kv_cache_tokens: The size of the KV cache.
        failure: None if nothing fails.
    """

    load_seconds: float = 1.0
    capture_seconds: float = 0.0
    ttft_ms: float = 50.0
    itl_ms: float = 20.0
    accuracy: float = 66.3
    answers: str | None = None
    chat_template: bool | None = None
    kv_cache_tokens: int = 524_288
    failure: Failure | None = None

    def fails(self, mode: str) -> Failure | None:
        """The failure if it has this mode, otherwise None."""
        return self.failure if self.failure is not None and self.failure.mode == mode else None


_NUMBERS = {
    "loadSeconds": ("load_seconds", 86_400.0),
    "captureSeconds": ("capture_seconds", 86_400.0),
    "ttftMs": ("ttft_ms", 3_600_000.0),
    "itlMs": ("itl_ms", 3_600_000.0),
    "accuracy": ("accuracy", 100.0),
}


def read_behaviour(folder: Path | None, environment: Mapping[str, str]) -> Behaviour:
    """Read the behaviour of a model.

    Args:
        folder: The model's folder, None if it has none.
        environment: The variables, of which `ASCENDLLM_SIMULATE` is read.

    Raises:
        SettingsError: The file or the variable is not a JSON object, or a key or value is invalid.
    """
    chosen: dict[str, Any] = {}
    if folder is not None and (folder / FILE).is_file():
        chosen |= _object((folder / FILE).read_text(encoding="utf-8"), str(folder / FILE))
    if environment.get(ENVIRONMENT):
        chosen |= _object(environment[ENVIRONMENT], ENVIRONMENT)
    return _behaviour(chosen)


def _object(text: str, source: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{source}: no JSON: {error}") from error
    if not isinstance(value, dict):
        raise SettingsError(f"{source}: must be a JSON object, is {type(value).__name__}")
    return value


def _behaviour(chosen: Mapping[str, Any]) -> Behaviour:
    fields: dict[str, Any] = {}
    for key, value in chosen.items():
        if key in _NUMBERS:
            name, most = _NUMBERS[key]
            fields[name] = _number(key, value, most)
        elif key == "answers" and (value is None or isinstance(value, str)):
            fields["answers"] = value
        elif key == "chatTemplate" and (value is None or isinstance(value, bool)):
            fields["chat_template"] = value
        elif key == "kvCacheTokens":
            fields["kv_cache_tokens"] = int(_number(key, value, 1e9)) or 1
        elif key == "failure":
            fields["failure"] = _failure(value)
        else:
            known = ", ".join([*_NUMBERS, "answers", "chatTemplate", "kvCacheTokens", "failure"])
            raise SettingsError(f"{key}: {value!r}: unknown key or wrong type; known are {known}")
    return Behaviour(**fields)


def _number(key: str, value: object, most: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        raise SettingsError(f"{key}: {value!r}: must be a number from 0 to {most:g}")
    return float(value)


def _failure(value: object) -> Failure | None:
    if value is None:
        return None
    if not isinstance(value, dict) or value.get("mode") not in MODES:
        raise SettingsError(
            f"failure: {value!r}: must be null or an object with a mode of {', '.join(MODES)}"
        )
    mode = MODES[value["mode"]]
    known = {**mode.parameters, **(_GATE if mode.gated else {})}
    for key, given in value.items():
        if key == "mode":
            continue
        if key not in known:
            names = ", ".join(known) or "none"
            raise SettingsError(
                f"failure.{key}: {value['mode']} has no such parameter, only {names}"
            )
        wanted = type(known[key])
        fits = type(given) is wanted or (wanted is float and type(given) is int)
        if not fits or (wanted in (int, float) and given < 0):
            raise SettingsError(
                f"failure.{key}: {given!r}: must be of type {wanted.__name__}, >= 0"
            )
    given = {key: item for key, item in value.items() if key != "mode"}
    return Failure(value["mode"], {**known, **given})
