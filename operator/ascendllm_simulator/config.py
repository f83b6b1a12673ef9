"""The configuration of a server: the arguments of `vllm serve`, the model's folder, the behaviour.

Arguments that vLLM rejects before it loads anything raise a `UsageError` (exit code 2). Errors that
vLLM reports while it reads the model's folder raise a `LoadError` (exit code 1) with vLLM's text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ascendllm.engine.options import load
from ascendllm.exceptions import SettingsError
from ascendllm_simulator.behaviour import Behaviour, read_behaviour
from ascendllm_simulator.group import Place, read_place
from ascendllm_simulator.mmlu import KeyEntry, read_key
from ascendllm_simulator.option_parser import parse_arguments

__all__ = ["LoadError", "ServerConfig", "read_config"]

VERSION = "0.18.0"
_DEFAULT_LENGTH = 8192
_DEFAULT_SEQUENCES = 256
_BLOCK = 128
"""vLLM-Ascend's block size."""

_NOT_SIMULATED = ("config", "grpc", "ssl_certfile", "ssl_keyfile", "uds")
"""Options that change how clients reach the server or what it reads; they are not simulated."""


class LoadError(Exception):
    """The server exits while it loads; the text is the last line of its log."""


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The configuration of one server.

    Args:
        host: The address to listen on.
        port: The port to listen on; 0 for any free port.
        root: The MODEL argument.
        names: The served names; responses contain the first one.
        adapters: The folders of the LoRA adapters, by name.
        max_model_len: The maximum number of tokens of prompt and answer together.
        max_num_seqs: The maximum number of sequences that run at once.
        max_logprobs: The maximum number of logprobs per token that a request may ask for.
        block_size: Tokens per block of the prefix cache.
        prefix_caching: Whether the prefix cache is enabled.
        chat_template: Whether the model has a chat template.
        trust_request_template: Whether a request may contain a chat template.
        api_keys: The accepted bearer tokens for /v1; empty if none is required.
        shutdown_timeout: Seconds that running requests have after SIGTERM; 0 aborts them.
        force_usage: Whether streams end with the usage even if it is not requested.
        token_ids_as_names: Whether logprobs identify tokens by id unless a request sets it.
        cached_in_usage: Whether the usage contains the number of cached tokens.
        place: The process's place in a multi-node server; None for a single process.
        behaviour: Timing, accuracy, failure.
        key: The MMLU answer key.
    """

    host: str
    port: int
    root: str
    names: tuple[str, ...]
    adapters: Mapping[str, str] = field(default_factory=dict)
    max_model_len: int = _DEFAULT_LENGTH
    max_num_seqs: int = _DEFAULT_SEQUENCES
    max_logprobs: int = 20
    block_size: int = _BLOCK
    prefix_caching: bool = True
    chat_template: bool = True
    trust_request_template: bool = False
    api_keys: tuple[str, ...] = ()
    shutdown_timeout: int = 0
    force_usage: bool = False
    token_ids_as_names: bool = False
    cached_in_usage: bool = False
    place: Place | None = None
    behaviour: Behaviour = field(default_factory=Behaviour)
    key: tuple[KeyEntry, ...] = ()


def read_config(args: Sequence[str], environment: Mapping[str, str]) -> ServerConfig:
    """Read the configuration of a server.

    Args:
        args: The arguments that follow `vllm serve`.
        environment: The variables, of which `ASCENDLLM_SIMULATE` and `VLLM_API_KEY` are read.

    Raises:
        UsageError: The parser of `vllm serve` rejects the arguments.
        LoadError: The model's folder is missing or does not fit the arguments.
        SettingsError: The behaviour is invalid, or an option is not simulated.
    """
    values = parse_arguments(load(VERSION), args)
    for dest in _NOT_SIMULATED:
        if values[dest]:
            option = dest.replace("_", "-")
            raise SettingsError(
                f"--{option}: the simulator does not do what it asks for: remove it"
            )
    root = str(values["model"])
    folder = Path(root) if Path(root).is_dir() else None
    if folder is None and root.startswith(("/", "./", "../", "~")):
        raise LoadError(
            f"OSError: Invalid repository ID or local directory specified: '{root}'.\n"
            "Please verify the following requirements:\n"
            "1. Provide a valid Hugging Face repository ID.\n"
            "2. Specify a local directory that contains a recognized configuration file."
        )
    behaviour = read_behaviour(folder, environment)
    names: Any = values["served_model_name"] or [root]
    keys: Any = values["api_key"] or [environment.get("VLLM_API_KEY")]
    return ServerConfig(
        host=str(values["host"] or "0.0.0.0"),  # noqa: S104 - vLLM's default
        port=_integer(values["port"], 8000),
        root=root,
        names=tuple(str(name) for name in names),
        adapters=_adapters(values),
        max_model_len=_length(values["max_model_len"], folder),
        max_num_seqs=max(1, _integer(values["max_num_seqs"], _DEFAULT_SEQUENCES)),
        max_logprobs=_integer(values["max_logprobs"], 20),
        block_size=max(1, _integer(values["block_size"], _BLOCK)),
        prefix_caching=values["enable_prefix_caching"] is not False,
        chat_template=_has_template(values["chat_template"], folder, behaviour),
        trust_request_template=bool(values["trust_request_chat_template"]),
        api_keys=tuple(str(key) for key in keys if key),
        shutdown_timeout=max(0, _integer(values["shutdown_timeout"], 0)),
        force_usage=bool(values["enable_force_include_usage"]),
        token_ids_as_names=bool(values["return_tokens_as_token_ids"]),
        cached_in_usage=bool(values["enable_prompt_tokens_details"]),
        place=read_place(values),
        behaviour=behaviour,
        key=_key(folder, behaviour),
    )


def _adapters(values: Mapping[str, object]) -> dict[str, str]:
    """Read the adapters, all of which vLLM loads before it serves."""
    modules: Any = values["lora_modules"] or []
    adapters = {str(module["name"]): str(module["path"]) for module in modules if module}
    if adapters and not values["enable_lora"]:
        raise LoadError("ValueError: Call to add_lora method failed: LoRA is not enabled.")
    for name, path in adapters.items():
        if not (Path(path) / "adapter_config.json").is_file():
            raise LoadError(f"ValueError: Loading lora {name} failed: No adapter found for {path}")
    return adapters


def _integer(value: object, default: int) -> int:
    return value if isinstance(value, int) else default


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise LoadError(f"OSError: {path} is not a valid JSON file: {error}") from error
    return value if isinstance(value, dict) else {}


def _length(asked: object, folder: Path | None) -> int:
    """The context length: the argument, otherwise that of the model."""
    own = _json(folder / "config.json").get("max_position_embeddings") if folder else None
    own = own if isinstance(own, int) and own > 0 else None
    if not isinstance(asked, int) or asked == -1:
        return own or _DEFAULT_LENGTH
    if own is not None and asked > own:
        raise LoadError(
            f"ValueError: User-specified max_model_len ({asked}) is greater than the derived "
            f"max_model_len (max_position_embeddings={own} or model_max_length=None in model's "
            "config.json). To allow overriding this maximum, set the env var "
            "VLLM_ALLOW_LONG_MAX_MODEL_LEN=1."
        )
    return max(1, asked)


def _has_template(option: object, folder: Path | None, behaviour: Behaviour) -> bool:
    if behaviour.chat_template is not None:
        return behaviour.chat_template
    if option or folder is None or not (folder / "tokenizer_config.json").is_file():
        return True
    return (folder / "chat_template.jinja").is_file() or "chat_template" in _json(
        folder / "tokenizer_config.json"
    )


def _key(folder: Path | None, behaviour: Behaviour) -> tuple[KeyEntry, ...]:
    if behaviour.answers is None:
        return ()
    return tuple(read_key((folder or Path()) / behaviour.answers))
