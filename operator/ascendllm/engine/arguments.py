"""From the resource's engine fields to the argument list of `vllm serve`."""

from __future__ import annotations

import json
from collections.abc import Sequence

from ascendllm.api.engine import Engine
from ascendllm.engine import options
from ascendllm.engine.drain import shutdown_timeout
from ascendllm.engine.in_force import in_force

__all__ = [
    "PORT",
    "adapter_path",
    "escape_argument",
    "serve_arguments",
    "tensor_parallel_size",
    "unescape_argument",
    "written",
]

PORT = 8000
"""The port that the container listens on, whatever the client Service's port is."""


def escape_argument(argument: str) -> str:
    """The argument as a container's `args` or `command` must hold it to reach the process as it is.

    Kubernetes replaces `$(NAME)` there by the value of the container's variable, and `$$` by `$`.
    A user's `$(VLLM_API_KEY)` would put the key into the argument list and into the server's log.
    """
    return argument.replace("$", "$$")


def unescape_argument(argument: str) -> str:
    """The argument as the process gets it, for one that refers to no variable."""
    return argument.replace("$$", "$")


def tensor_parallel_size(engine: Engine, npus: int) -> int:
    """The tensor parallel size: as given, or the NPUs that the other sizes leave.

    An uneven division is rounded down here and refused by the policies.

    Args:
        engine: The sizes.
        npus: NPUs of a replica, all its pods together.
    """
    engine = in_force(engine)
    if engine.tensor_parallel_size is not None:
        return engine.tensor_parallel_size
    return max(1, npus // (engine.pipeline_parallel_size * engine.data_parallel_size))


def adapter_path(name: str) -> str:
    """Where the container sees an adapter."""
    return f"/loras/{name}"


def serve_arguments(
    model_path: str,
    served_name: str,
    engine: Engine,
    npus: int,
    generation: str | None = None,
    more: Sequence[str] = (),
) -> list[str]:
    """The container's `args`: `vllm serve`, the options of the fields, then `engine.args`.

    An option whose field is unset or at vLLM's own default is left out, so that the list holds what
    somebody chose. The entry point of the image sources CANN's environment and then executes these.
    Each argument is escaped, except those of `more`.

    Args:
        model_path: The model's folder.
        served_name: The name that clients ask for.
        engine: As the user wrote it.
        npus: NPUs of a replica.
        generation: The chips', where known.
        more: Options of the operator that are no field's. They may refer to variables of the
            container, such as `$(VLLM_HOST_IP)`.
    """
    engine = in_force(engine, generation)
    given: list[tuple[str, object]] = [
        ("--host", "0.0.0.0"),  # noqa: S104 - the pod's own address, reached through Services
        ("--port", PORT),
        ("--tensor-parallel-size", tensor_parallel_size(engine, npus)),
        ("--pipeline-parallel-size", _unless(engine.pipeline_parallel_size, 1)),
        ("--data-parallel-size", _unless(engine.data_parallel_size, 1)),
        ("--seed", engine.seed),
        ("--served-model-name", served_name),
        ("--max-model-len", engine.max_model_len),
        ("--max-num-seqs", engine.max_num_seqs),
        ("--max-num-batched-tokens", engine.max_num_batched_tokens),
        ("--gpu-memory-utilization", _share(engine.memory_utilization)),
        ("--trust-remote-code", engine.trust_remote_code or None),
        ("--dtype", engine.dtype),
        ("--quantization", engine.quantization),
        ("--enforce-eager", engine.enforce_eager),
        ("--enable-prefix-caching", engine.enable_prefix_caching),
        ("--additional-config", _json(engine.additional_config)),
        ("--compilation-config", _json(engine.compilation_config)),
        ("--shutdown-timeout", shutdown_timeout(engine)),
    ]
    rendered = [text for flag, value in given if (text := _option(flag, value)) is not None]
    own = written([*_adapters(engine), *(engine.args or [])])
    return [
        *(escape_argument(argument) for argument in ("vllm", "serve", model_path, *rendered)),
        *more,
        *(escape_argument(argument) for argument in own),
    ]


def _adapters(engine: Engine) -> list[str]:
    if engine.loras is None:
        return []
    switched = "enable_lora" in options.load().values(engine.args or [])
    return [
        *([] if switched else ["--enable-lora"]),
        *(f"--lora-modules={lora.name}={adapter_path(lora.name)}" for lora in engine.loras),
    ]


def written(args: Sequence[str]) -> list[str]:
    """The arguments as argparse takes them: all values of an option behind its one mention.

    In `args` an option of several values stands once a value, `--option=a` and `--option=b`; of
    these argparse would keep the last.
    """
    table = options.load()
    tokens: list[list[str]] = []
    places: dict[str, list[str]] = {}
    for arg in args:
        flag, equals, value = arg.partition("=")
        option = table.named(flag)
        if option is None or option.nargs != "+" or not equals:
            tokens.append([arg])
        elif (place := places.get(option.dest)) is None:
            tokens.append(places.setdefault(option.dest, [arg]))
        else:
            if len(place) == 1:
                place[:] = [option.canonical, place[0].partition("=")[2]]
            place.append(value)
    return [token for place in tokens for token in place]


def _share(value: float) -> str:
    """All of the number's digits, and at least two decimals, as people write it: 0.90."""
    text = repr(value)
    whole, _, decimals = text.partition(".")
    return text if "e" in text else f"{whole}.{decimals.ljust(2, '0')}"


def _unless(value: int, default: int) -> int | None:
    return None if value == default else value


def _json(value: dict[str, object] | None) -> str | None:
    return None if value is None else json.dumps(value, sort_keys=True, separators=(",", ":"))


def _option(flag: str, value: object) -> str | None:
    if value is None:
        return None
    if value is True:
        return flag
    if value is False:
        return f"--no-{flag.removeprefix('--')}"
    return f"{flag}={value}"
