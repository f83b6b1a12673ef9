"""Parses an argument list as `vllm serve` does, with the same error messages.

vLLM rewrites the list before it passes it to Python's argparse: underscores become dashes, dotted
options become JSON, and `-O3` becomes its long form. Source: vllm 0.18.0,
`vllm/utils/argparse_utils.py`.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ascendllm.engine.option import Option
from ascendllm.engine.option_values import BadValueError, convert, json_or_text
from ascendllm.engine.options import OptionTable
from ascendllm.exceptions import UsageError

__all__ = ["parse_arguments", "rewrite"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message)


def parse_arguments(table: OptionTable, args: Sequence[str]) -> dict[str, object]:
    """Parse an argument list as `vllm serve` does, MODEL included.

    Args:
        table: The options of one version.
        args: The arguments that follow `vllm serve`.

    Returns:
        The value of every `dest`, with defaults; `model` is the positional argument if it is given.

    Raises:
        UsageError: With the text that vLLM's parser prints after `error: `.
    """
    parser = _build(table.options)
    namespace, extra = parser.parse_known_args(rewrite(_model_first(args)))
    if extra:
        raise UsageError(f"unrecognized arguments: {' '.join(extra)}")
    values = vars(namespace)
    if values.get("model_tag") is not None:
        values["model"] = values["model_tag"]
    return values


def _build(options: Sequence[Option]) -> _Parser:
    parser = _Parser(prog="vllm serve", add_help=False)
    for option in options:
        if option.kind == "switch":
            parser.add_argument(
                *[flag for flag in option.flags if not flag.startswith("--no-")],
                dest=option.dest,
                action=argparse.BooleanOptionalAction,
                default=option.default,
            )
            continue
        keywords: dict[str, Any] = {"default": option.default}
        if option.kind in ("flag", "help"):
            keywords |= {"action": "store_true", "default": bool(option.default)}
        else:
            keywords |= {"type": _type(option), "nargs": option.nargs}
            keywords |= {"choices": option.choices} if option.choices else {}
            keywords |= {"action": "append"} if option.kind == "append" else {}
            if option.dest == "hf_token":
                keywords["const"] = True
        if option.flags:
            parser.add_argument(*option.flags, dest=option.dest, **keywords)
        else:
            parser.add_argument(option.dest, **keywords)
    return parser


def _type(option: Option) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            return convert(option.type, option.optional, text)
        except BadValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read


def _model_first(args: Sequence[str]) -> list[str]:
    """Move the value of `--model` to the front, where argparse takes it as the positional model."""
    args = list(args)
    for index, arg in enumerate(args):
        if not re.match(r"^--model(=.+|$)", arg):
            continue
        if arg != "--model":
            return [arg.removeprefix("--model="), *args[:index], *args[index + 1 :]]
        if index + 1 == len(args):
            raise UsageError("argument --model: expected one argument")
        return [args[index + 1], *args[:index], *args[index + 2 :]]
    return args


def rewrite(args: Sequence[str]) -> list[str]:
    """Rewrite the list as vLLM does before argparse parses it."""
    plain, nested = _split_nested(_dashes(args))
    for flag, value in nested.items():
        plain += [flag, json.dumps(value)]
    return plain


def _dashes(args: Sequence[str]) -> list[str]:
    out: list[str] = []
    for index, arg in enumerate(args):
        if arg.startswith("--help="):
            out.append("--help")
        elif arg.startswith("--"):
            key, equals, value = arg.partition("=")
            name, dot, keys = key.partition(".")
            out.append(f"{name.replace('_', '-')}{dot}{keys}{equals}{value}")
        elif arg.startswith("-O") and arg != "-O":
            out += ["--optimization-level", arg[3:] if arg[2] == "=" else arg[2:]]
        elif arg == "-O" and args[index + 1 : index + 2] and args[index + 1] in "0123":
            out.append("--optimization-level")
        else:
            out.append(arg)
    return out


def _split_nested(args: Sequence[str]) -> tuple[list[str], dict[str, dict[str, Any]]]:
    """Separate `--option.key=value` from the other arguments and merge the values per option."""
    plain: list[str] = []
    nested: dict[str, dict[str, Any]] = {}
    rest = iter(args)
    for arg in rest:
        name, equals, text = arg.partition("=")
        if not name.startswith("-") or "." not in name:
            plain.append(arg)
            continue
        if not equals:
            following = next(rest, None)
            if following is None:
                raise UsageError(f"argument {name}: expected one argument")
            text = following
        if name.endswith("+"):
            name, text = name[:-1], json.dumps(text.split(","))
        flag, *keys = name.split(".")
        value: Any = json_or_text(text)
        for key in reversed(keys):
            value = {key: value}
        _merge(nested.setdefault(flag, {}), value)
    return plain, nested


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        elif isinstance(value, list) and isinstance(into.get(key), list):
            into[key] += value
        else:
            into[key] = value
